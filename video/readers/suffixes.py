"""Suffixes of video files, by which they are found; what is in a file is told by its content."""

SUFFIXES = (
    *(".mp4", ".avi", ".webm", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"),
    *(".3gp", ".3g2", ".mts", ".m2ts", ".m2t", ".vob", ".ogv", ".ogm", ".asf", ".f4v", ".divx", ".xvid", ".qt"),
    *(".mxf", ".m1v", ".m2v", ".mpv", ".mpe", ".mod", ".tod", ".dv", ".rm", ".rmvb", ".mjpeg", ".mjpg", ".mj2", ".y4m"),
    *(".ivf", ".nut", ".gif", ".apng", ".wtv", ".h264", ".264", ".h265", ".265", ".hevc", ".av1", ".obu", ".insv"),
)
LOOPING = (".gif", ".apng")  # small ones; beside frames they only show what these are
