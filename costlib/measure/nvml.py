"""NVML errors as reasons, in one table: what the driver could not tell, in words for a reader."""

from __future__ import annotations

from typing import Any

REASONS = {
    "NVML_ERROR_NOT_SUPPORTED": "this GPU or driver does not support it",
    "NVML_ERROR_NO_PERMISSION": "the driver gives no permission to read it",
    "NVML_ERROR_NO_DATA": "the driver has no data yet",
    "NVML_ERROR_GPU_IS_LOST": "the driver lost the GPU",
    "NVML_ERROR_RESET_REQUIRED": "the GPU needs a reset",
    "NVML_ERROR_DRIVER_NOT_LOADED": "no NVIDIA driver is loaded",
    "NVML_ERROR_LIBRARY_NOT_FOUND": "no NVIDIA driver is installed",
    "NVML_ERROR_FUNCTION_NOT_FOUND": "the driver is too old for it",
    "NVML_ERROR_UNINITIALIZED": "the driver was closed",
    "NVML_ERROR_TIMEOUT": "the driver did not answer in time",
    "NVML_ERROR_UNKNOWN": "the driver failed without saying why",
}


def reason(error: Any) -> str:
    """The words for an NVML error; an unlisted one keeps the driver's own."""
    import pynvml

    for name, words in REASONS.items():
        if getattr(pynvml, name, None) == getattr(error, "value", None):
            return words
    return str(error) or "the driver failed without saying why"
