"""Fitted models as they are stored: enough to label any row again, bit for bit."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.core.covariance import Assignment, Covariance
from services.core.errors import DataLoss

__all__ = ["FittedModel"]

_MAGIC = b"KMM1"


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """What a task learned, in the space it was fitted in, and the way into that space.

    A row x (d,) in original units is fitted as (x - offset) / scale.

    Attributes:
        columns: names of the d columns, in order.
        offset, scale: (d,) float64; zeros and ones when the job did not scale.
        weights: (K,) float64, π_k.
        centers: (K, d) float64, μ_k.
        parameters: covariance parameters, float64, shape by model: spher-tied (1,), spher-untied
            (K,), diag-tied (d,), diag-untied (K, d), full-tied (d, d), full-untied (K, d, d).
    """

    covariance: Covariance
    assignment: Assignment
    columns: tuple[str, ...]
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    centers: NDArray[np.float64]
    parameters: NDArray[np.float64]

    @property
    def covariances(self) -> NDArray[np.float64]:
        """The covariances in full in the space of the fit, (K, d, d), whatever the covariance model."""
        return np.stack([self.covariance_of(cluster) for cluster in range(len(self.centers))])

    def covariance_of(self, cluster: int) -> NDArray[np.float64]:
        """One of them, (d, d): all of them may be many times the model, and are seldom needed at once."""
        d = self.centers.shape[1]
        match self.covariance:
            case Covariance.FULL_UNTIED:
                return np.array(self.parameters[cluster])
            case Covariance.FULL_TIED:
                return self.parameters
            case Covariance.DIAG_UNTIED:
                return self.parameters[cluster, :, np.newaxis] * np.eye(d)
            case Covariance.DIAG_TIED:
                return self.parameters[:, np.newaxis] * np.eye(d)
            case Covariance.SPHER_UNTIED:
                return np.array(self.parameters[cluster] * np.eye(d))
            case Covariance.SPHER_TIED:
                return self.parameters * np.eye(d)

    def into_fit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows (m, d) in original units as the fit saw them, to the last bit."""
        return (values - self.offset) / self.scale

    def original_centers(self) -> NDArray[np.float64]:
        """The centers in the columns' units, (K, d)."""
        return self.centers * self.scale + self.offset

    def original_covariances(self) -> NDArray[np.float64]:
        """The covariances in the columns' units, (K, d, d)."""
        return np.stack([self.original_covariance_of(cluster) for cluster in range(len(self.centers))])

    def original_covariance_of(self, cluster: int) -> NDArray[np.float64]:
        """One of them, (d, d)."""
        return self.covariance_of(cluster) * np.outer(self.scale, self.scale)

    def to_bytes(self) -> bytes:
        """Encode: magic, header length, JSON header, then the arrays as little-endian float64."""
        arrays = (self.offset, self.scale, self.weights, self.centers, self.parameters)
        header = json.dumps(
            {
                "covariance": self.covariance,
                "assignment": self.assignment,
                "columns": self.columns,
                "shapes": [array.shape for array in arrays],
            }
        ).encode()
        body = b"".join(np.ascontiguousarray(array, dtype="<f8").tobytes() for array in arrays)
        return _MAGIC + struct.pack("<I", len(header)) + header + body

    @classmethod
    def from_bytes(cls, data: bytes) -> FittedModel:
        """Decode what `to_bytes` wrote.

        Raises:
            DataLoss: the bytes are not a model, or are cut short.
        """
        try:
            if data[:4] != _MAGIC:
                raise ValueError("no model magic")
            (header_length,) = struct.unpack_from("<I", data, 4)
            header = json.loads(data[8 : 8 + header_length])
            position = 8 + header_length
            arrays = []
            for shape in header["shapes"]:
                count = int(np.prod(shape))
                array = np.frombuffer(data, dtype="<f8", count=count, offset=position)
                arrays.append(array.reshape(shape).astype(np.float64))
                position += 8 * count
            if position != len(data):
                raise ValueError("its length is not what its header says")
            offset, scale, weights, centers, parameters = arrays
            return cls(
                Covariance(header["covariance"]),
                Assignment(header["assignment"]),
                tuple(header["columns"]),
                offset,
                scale,
                weights,
                centers,
                parameters,
            )
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise DataLoss(
                f"A stored model cannot be read ({error}). Retry its task to fit it again.",
                "MODEL_DAMAGED",
            ) from error
