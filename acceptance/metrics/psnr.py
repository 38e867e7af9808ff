"""PSNR of RGB images as EDSR's scripts define it: quantised to 8 bits, 8 pixels shaved off, one dB figure per image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from acceptance.metric import Result

if TYPE_CHECKING:
    from typing_extensions import Self

SHAVE = 8  # scale 2 + 6, as in EDSR-PyTorch's code (its README says scale + 2)
BAND = 64  # rows at a time: the temporaries stay in the cache, and never grow with the image


def psnr(output: np.ndarray, truth: np.ndarray, shave: int = SHAVE) -> float:
    """Return the PSNR in dB of an H x W x C float32 image, not yet quantised, against H x W x C uint8.

    C is 1 or 3; a truth of one channel counts for all of the output's. Values are clamped to 0..255 and rounded half
    to even; `shave` pixels on every side are left out. Identical images give infinity. Formula of EDSR-PyTorch's
    `calc_psnr`, from the exact integer sum of squares.
    Raises ValueError for other shapes or types, for NaN, and when nothing is left after shaving.
    """
    if output.ndim != 3:
        raise ValueError(f"expected an image of height x width x channels; found shape {output.shape}")
    return _decibels(output.transpose(2, 0, 1), truth, shave)


class PSNR:
    """Mean over images of their PSNR: outputs 3 x H x W float32, cropped to the image, targets H x W x 3 uint8 RGB."""

    unit = "dB"

    def __init__(self) -> None:
        self._per_image: dict[str, float] = {}

    def update(self, outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], names: Sequence[str]) -> None:
        """Add images; raise ValueError naming the image that cannot be judged or is there twice."""
        for output, target, name in zip(outputs, targets, names, strict=True):
            if name in self._per_image:
                raise ValueError(f"{name}: already judged; every image counts once, so give each a name of its own")
            if output.ndim != 3 or len(output) != 3 or target.shape[2:] != (3,):
                found = f"output {output.shape} and target {target.shape}"
                raise ValueError(f"{name}: expected 3 x H x W and H x W x 3; found {found}; read images as RGB")
            try:
                self._per_image[name] = _decibels(output, target, SHAVE)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    def merge(self, other: Self) -> None:
        """Add the images of another part; raise ValueError when an image is in both."""
        if twice := self._per_image.keys() & other._per_image.keys():
            raise ValueError(f"{min(twice)}: is in both parts ({len(twice)} such images); every image counts once")
        self._per_image.update(other._per_image)

    def result(self) -> Result:
        """Return the mean of the images' dB; identical images are left out of it and named.

        Raises ValueError when no image was added.
        """
        if not self._per_image:
            raise ValueError("PSNR: expected at least one image; found none; check which part of the data set was run")
        finite = [value for value in self._per_image.values() if math.isfinite(value)]
        # fsum: the figure does not depend on the order of the images
        value = math.fsum(finite) / len(finite) if finite else math.inf
        return Result(value, self.unit, dict(self._per_image), notes=self._notes())

    @staticmethod
    def degraded(decibels: float, rms: float) -> float:
        """Return what a figure falls to when an independent error of that root mean square (of 255) is added.

        Squared errors of independent causes add; where images have no truth, an error against fp32 is judged so.
        """
        return -10 * math.log10(10 ** (-decibels / 10) + (rms / 255) ** 2)

    def _notes(self) -> tuple[str, ...]:
        identical = sorted(name for name, value in self._per_image.items() if math.isinf(value))
        if not identical:
            return ()
        if len(identical) == len(self._per_image):
            return (f"every image is identical to its target ({len(identical)}): the PSNR is infinite",)
        listed = ", ".join(identical[:5]) + (", ..." if len(identical) > 5 else "")
        if len(identical) == 1:
            return (f"1 identical image ({listed}) is left out of the mean: its PSNR is infinite",)
        return (f"{len(identical)} identical images ({listed}) are left out of the mean: their PSNR is infinite",)


METRIC = PSNR


def _decibels(planes: np.ndarray, truth: np.ndarray, shave: int) -> float:
    """PSNR of C x H x W against H x W x C: the planes stay where the network wrote them."""
    _check(planes, truth, shave)
    channels, height, width = planes.shape
    planes = planes[:, shave : height - shave, shave : width - shave]
    truth = np.broadcast_to(truth, (height, width, channels))[shave : height - shave, shave : width - shave]
    total = 0
    for top in range(0, truth.shape[0], BAND):
        band = planes[:, top : top + BAND].astype(np.float32, copy=False)
        total += _squared_error(band, truth[top : top + BAND])
    return 10 * math.log10(255**2 * truth.size / total) if total else math.inf


def _check(planes: np.ndarray, truth: np.ndarray, shave: int) -> None:
    channels, height, width = planes.shape
    if truth.dtype != np.uint8:
        raise ValueError(f"expected a truth of 8 bits (uint8); found {truth.dtype}; read the image without scaling it")
    if np.promote_types(planes.dtype, np.float32) != np.float32:
        raise ValueError(f"expected an output of float32 or a type that fits into it; found {planes.dtype}")
    if truth.ndim != 3 or channels not in (1, 3) or truth.shape[2] not in (1, channels):
        found = f"an output of {channels} channels and a truth of shape {truth.shape}"
        raise ValueError(f"expected H x W x 3 on both sides; found {found}; convert to RGB, without alpha")
    if truth.shape[:2] != (height, width):
        found = f"the output is {width}x{height}, the truth {truth.shape[1]}x{truth.shape[0]}"
        raise ValueError(f"expected equal sizes; {found}; crop the padding off the output")
    if shave < 0 or min(height, width) <= 2 * shave:
        raise ValueError(
            f"expected sides above {2 * shave}, twice the shave; found {width}x{height}; leave the image out"
        )


def _squared_error(planes: np.ndarray, truth: np.ndarray) -> int:
    """Sum of squares between the quantised planes (C x h x w float32) and h x w x C uint8, an exact integer."""
    try:
        import cv2
    except ImportError:  # device hosts: the same number, slower
        return _squared_error_numpy(planes, truth)
    # OpenCV may turn NaN, infinity and all beyond 32-bit integers into 0; a sum of magnitudes shows if there are any
    if not all(cv2.norm(plane, cv2.NORM_L1) < 2**31 for plane in planes):
        return _squared_error_numpy(planes, truth)
    # one plane plus nothing: the conversion to 8 bits saturates and rounds half to even in one step
    quantised = cv2.merge([cv2.addWeighted(plane, 1, plane, 0, 0, dtype=cv2.CV_8U) for plane in planes])
    # round: some builds square a square root, which misses the integer by a few parts in 10^16
    return round(cv2.norm(quantised, truth, cv2.NORM_L2SQR))


def _squared_error_numpy(planes: np.ndarray, truth: np.ndarray) -> int:
    with np.errstate(invalid="ignore"):  # NaN is told below
        error = np.rint(np.clip(planes, 0, 255))
    error -= truth.transpose(2, 0, 1)
    error *= error
    total = error.sum(dtype=np.float64)  # exact: the squares are whole numbers in float32, their sum is in double
    if np.isnan(total):
        raise ValueError("expected numbers; found NaN inside the kept area; check the engine's precision and its input")
    return int(total)
