"""Package metadata; tools are set up in pyproject.toml."""

from pathlib import Path
from shutil import copytree, ignore_patterns

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

PACKAGES = ("swinv2", "detection", "segmentation", "video")

# The four packages of the project, which has a fifth: detectron2 is not on PyPI, is installed from its source, and only
# detection/detectron2.py needs it. opencv-python-headless is opencv-python without windows, so without libGL or X.
FOUR = ["torch>=2.6", "pycocotools", "opencv-python-headless>=4.11", "fvcore"]

BUILT_ON = [
    "anyascii",
    "av>=18",
    "filelock",
    "huggingface_hub>=1.0",
    "imagecodecs>=2026.3.6",
    "jaxtyping",
    "jsonargparse[signatures]>=4.53",
    "lightning>=2.6,!=2.6.2,!=2.6.3",  # those two were compromised
    "matplotlib",
    "numpy",
    "orjson",
    "pillow>=11.3",
    "pyyaml",
    "safetensors",
    "tensorboard",
    "tifffile>=2026.3.3",
    "torchmetrics",
    "tqdm",
    "torchvision",
]

TEST = ["beartype", "pillow-heif", "pytest>=8.2", "pytest-xdist", "timm", "transformers"]
DEV = ["mypy", "pre-commit", "ruff"]
DOCS = ["mkdocs-material", "mkdocstrings[python]", "ruff"]  # ruff formats the signatures
HEIF = ["pillow-heif"]  # photos of iPhones
FASTER = ["faster-coco-eval"]  # torchcodec is optional, too, but its release must be the one for the installed torch


class BuildWithRecipes(build_py):
    """Copies `configs/` to `swinv2/recipes` of a wheel; a checkout or an editable install has the folder itself."""

    def run(self) -> None:
        """Build as always, then copy."""
        super().run()
        if not self.editable_mode:
            target, ignored = Path(self.build_lib, "swinv2/recipes"), ignore_patterns("__pycache__")
            copytree("configs", target, ignore=ignored, dirs_exist_ok=True)


setup(
    name="swinv2",
    version="0.1.0",
    description="Swin Transformer V2: one N-D backbone for detection, segmentation, video and classification",
    long_description=Path("README.md").read_text() if Path("README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    package_dir={"": "."},
    package_data={name: ["py.typed"] for name in PACKAGES},
    cmdclass={"build_py": BuildWithRecipes},
    install_requires=FOUR + BUILT_ON,
    extras_require={
        "test": TEST,
        "dev": TEST + DEV,
        "docs": DOCS,
        "heif": HEIF,
        "all": TEST + DEV + DOCS + FASTER + HEIF,
    },
    entry_points={"console_scripts": ["swinv2 = swinv2.cli:main"]},
)
