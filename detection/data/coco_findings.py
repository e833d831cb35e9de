"""Oddities that `coco_reader.py` finds: counted by kind, logged, and an error where they concern most objects."""

from collections import Counter

TOLD = {  # sentence by kind, in the order of the log
    "placeholder": "annotations have neither a box nor a segmentation with area and are left out",
    "crowd": "annotations are crowd regions (iscrowd 1), which are left out of training",
    "flat": "boxes have no area within their image and are left out of training",
    "far": "boxes reach far outside of their image and are left out of training",
    "unmasked": "segmentations are of no use and left out of training and of the scores of masks",
    "normalized": "boxes are smaller than a pixel and may be normalised",
    "outside": "boxes reach out of their image and are cut at its border",
    "apart": "segmentations do not lie where their boxes are",
    "area": "areas cannot be those of their boxes and are worked out anew",
    "ignore": "annotations say `ignore`, which is not read here; crowd regions say iscrowd 1",
    "same file": "images have the same file_name as another",
    "same name": "categories have the same name as another",
    "federated": "images are annotated for some classes only (LVIS), but are scored as if for all",
}
BOXES = "COCO's boxes are [left, top, width, height] in pixels"
MOST = 0.5  # greatest share of unusable objects in a file
CERTAIN = 20  # boxes; a property that all of so many share is no accident
USUAL_CROWDS = 0.05  # share of crowd regions up to which they are not logged; COCO has 0.012
REACHING_OUT = 0.1  # share of boxes reaching out of their images that tells corners from sizes


class Findings:
    """Oddities by kind.

    Attributes:
        counts: number of entries by kind, and of the images, annotations, objects and so on to compare them with.
        first: first entry of each kind.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, kind: str, entry: str, detail: str = "") -> None:
        """Count an odd entry.

        Args:
            kind: kind of oddity.
            entry: name of the entry.
            detail: its odd value.
        """
        self.counts[kind] += 1
        if kind not in self.first:
            self.first[kind] = entry + (f": {detail}" if detail else "")

    def check(self) -> None:
        """Raise unless most objects are usable.

        Raises:
            ValueError: most are not, or boxes are in other units or another form.
        """
        self._check_units()
        counts, first = self.counts, self.first
        told = {
            "unmasked": "objects have no usable segmentation, first {}. Correct them, or remove all segmentations to "
            "work with boxes only.",
            "flat": f"boxes have no area within their image, first {{}}. {BOXES}; correct them.",
            "far": f"boxes reach far outside of their image, first {{}}. {BOXES}; correct them.",
            "outside": f"boxes reach out of their image, first {{}}. {BOXES} and do not leave its height and width; "
            "correct them.",
            "apart": "segmentations do not lie where their boxes are, first {}. Both are in pixels of the image, "
            "polygons as x1, y1, x2, y2, … and boxes as left, top, width, height; correct them.",
        }
        for kind, text in told.items():
            number = counts["unmasked objects"] if kind == "unmasked" else counts[kind]  # crowds have masks, too
            if number > MOST * counts["objects"]:
                raise ValueError(f"{number} of {counts['objects']} {text.format(first[kind])}")
        if counts["useless"] > MOST * counts["objects"]:
            raise ValueError(
                f"{counts['useless']} of {counts['objects']} objects are of no use, for their boxes or segmentations: "
                + "; ".join(self.sentences(("flat", "far", "unmasked")))
            )
        if counts["crowd"] > MOST * (counts["objects"] + counts["crowd"]):
            raise ValueError(
                f"{counts['crowd']} of {counts['objects'] + counts['crowd']} annotations are crowd regions, first "
                f"{first['crowd']}. These are never trained on or found; write iscrowd 0 for single objects (CVAT has "
                "1 for those that were painted)."
            )

    def _check_units(self) -> None:
        """Raise if most boxes look normalised, or all like corners instead of left, top, width, height."""
        counts = self.counts
        if counts["normalized"] > MOST * counts["boxes"]:
            raise ValueError(
                f"{counts['normalized']} of {counts['boxes']} boxes lie between 0 and 1, first "
                f"{self.first['normalized']}; they look normalised. {BOXES}: multiply them by the size of the image."
            )
        alike = counts["corners"] == counts["boxes"] >= CERTAIN
        if alike and counts["outside"] > REACHING_OUT * counts["boxes"]:
            raise ValueError(
                f"the boxes look like [left, top, right, bottom]: {counts['outside']} of {counts['boxes']} would reach "
                f"out of their image, first {self.first['outside']}. {BOXES}: subtract left and top."
            )

    def sentences(self, kinds: tuple[str, ...] = tuple(TOLD)) -> list[str]:
        """One sentence for each kind that was counted; crowd regions only if they are many."""
        totals = {"same file": "images", "federated": "images", "same name": "categories"}
        return [
            f"{self.counts[kind]} of {self.counts[totals.get(kind, 'annotations')]} {TOLD[kind]}, first "
            f"{self.first[kind]}"
            for kind in kinds
            if self.counts[kind] > (USUAL_CROWDS * self.counts["annotations"] if kind == "crowd" else 0)
        ]
