"""Label rows with an exported model and NumPy or scikit-learn alone: the labels are the service's.

kmeans-service export jobs/ID --out model.json
python examples/label_with_model.py model.json table.csv
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture


def label(model: dict[str, Any], rows: NDArray[np.float64]) -> NDArray[np.intp]:
    """Labels (m,) of rows (m, d) without missing values, in original units and the model's columns.

    For models that are not degenerate: each cluster has members, each covariance is invertible.
    """
    centers, covariances = np.array(model["fitted"]["centers"]), np.array(model["fitted"]["covariances"])
    rows = (rows - model["scaling"]["offset"]) / model["scaling"]["scale"]
    precisions = np.linalg.inv(np.linalg.cholesky(covariances)).transpose(0, 2, 1)
    if model["assignment"] == "likelihood":
        mixture = GaussianMixture(len(centers), covariance_type="full")
        mixture.weights_, mixture.means_ = np.array(model["weights"]), centers
        mixture.precisions_cholesky_ = precisions
        return mixture.predict(rows)
    steps = (rows[:, np.newaxis] - centers).transpose(1, 0, 2) @ precisions
    return (steps**2).sum(axis=2).argmin(axis=0)


if __name__ == "__main__":
    model = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    table = np.genfromtxt(sys.argv[2], delimiter=",", names=True, deletechars="", replace_space=" ")
    rows = np.column_stack([table[name] for name in model["columns"]])
    rows = rows[~np.isnan(rows).any(axis=1)]
    print(np.bincount(label(model, rows), minlength=model["k"]), "rows per cluster")
