"""Suffixes by which video files are found; the format is detected from the content."""

SUFFIXES = (
    *(".mp4", ".avi", ".webm", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"),
    *(".3gp", ".3g2", ".mts", ".m2ts", ".m2t", ".vob", ".ogv", ".ogm", ".asf", ".f4v", ".divx", ".xvid", ".qt"),
    *(".mxf", ".m1v", ".m2v", ".mpv", ".mpe", ".mod", ".tod", ".dv", ".rm", ".rmvb", ".mjpeg", ".mjpg", ".mj2", ".y4m"),
    *(".ivf", ".nut", ".gif", ".apng", ".wtv", ".h264", ".264", ".h265", ".265", ".hevc", ".av1", ".obu", ".insv"),
)
LOOPING = (".gif", ".apng")  # animations, which beside frames are only previews
