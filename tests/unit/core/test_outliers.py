from __future__ import annotations

import pytest
from scipy.stats import chi2

from services.core.errors import InvalidInput
from services.core.outliers import largest_square


@pytest.mark.parametrize("d", [1, 2, 3, 17, 256])
@pytest.mark.parametrize("probability", [5e-324, 1e-9, 0.5, 0.975, 0.999, 1 - 1e-12])
def test_it_is_the_quantile_of_scipy(d: int, probability: float) -> None:
    assert largest_square(probability, d) == pytest.approx(chi2.ppf(probability, d), rel=1e-12)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf")])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(InvalidInput, match="must be above 0 and below 1") as refused:
        largest_square(probability, 2)
    assert refused.value.violations[0].field == "header.outlier_probability"
