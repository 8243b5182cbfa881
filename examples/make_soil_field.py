"""Makes soil_field.csv: an electrical-conductivity survey of a field that does not exist.

A vehicle pulls a sensor up and down a field in parallel swaths and logs, about every five metres, its
position, the apparent electrical conductivity of the soil at two depths (EC1 shallow, EC2 deep, in
millisiemens per metre) and its elevation (metres). Four kinds of soil lie in the field: a sandy ridge,
loam, a clay bottom, and a small saline seep. In each, the conductivities are skewed and rise together, and
neighbours resemble each other.

    python examples/make_soil_field.py > examples/soil_field.csv

Only the standard library's uniform numbers and elementary functions are used, and everything is rounded as
an instrument would, so that any Python writes the same bytes.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SEED = 20240611
LENGTH_METRES = 520.0
WIDTH_METRES = 372.0
SWATH_METRES = 12.0
STEP_METRES = 5.2
HEADING_DEGREES = 11.0
ORIGIN = (-93.4172000, 41.8836000)  # the south-west corner, longitude and latitude
METRES_PER_DEGREE = 111_320.0

Field = Callable[[float, float], float]


@dataclass(frozen=True)
class Soil:
    """One kind of soil.

    Attributes:
        places: centres of where it lies and how far it reaches, in metres.
        shallow, deep: medians of EC1 and EC2, mS/m.
        spread: standard deviation of their logarithms.
        coupling: correlation of their logarithms.
        elevation, relief: mean and standard deviation, metres.
    """

    places: tuple[tuple[float, float, float], ...]
    shallow: float
    deep: float
    spread: float
    coupling: float
    elevation: float
    relief: float


SOILS = (
    Soil(((60.0, 330.0, 150.0), (190.0, 380.0, 120.0)), 6.4, 9.1, 0.17, 0.55, 184.6, 0.62),
    Soil(((220.0, 180.0, 330.0), (480.0, 330.0, 230.0)), 14.2, 21.5, 0.15, 0.70, 181.3, 0.70),
    Soil(((390.0, 20.0, 190.0), (150.0, 10.0, 150.0)), 29.5, 40.0, 0.13, 0.82, 178.2, 0.40),
    Soil(((462.0, 150.0, 92.0),), 41.0, 83.0, 0.16, 0.88, 179.3, 0.24),
)


def normal(source: random.Random) -> float:
    """One standard normal number, by Box and Muller: `random.gauss` promises no bytes."""
    radius = math.sqrt(-2.0 * math.log(1.0 - source.random()))
    return radius * math.cos(2.0 * math.pi * source.random())


def smooth_field(source: random.Random, range_metres: float, waves: int = 40) -> Field:
    """A random surface of mean 0 and variance 1 whose hills are about `range_metres` wide."""
    parts = [
        (
            normal(source) / range_metres,
            normal(source) / range_metres,
            2.0 * math.pi * source.random(),
        )
        for _ in range(waves)
    ]
    height = math.sqrt(2.0 / waves)

    def surface(x: float, y: float) -> float:
        return height * math.fsum(math.cos(u * x + v * y + phase) for u, v, phase in parts)

    return surface


def drive(source: random.Random) -> Iterator[tuple[float, float]]:
    """Positions in metres along and across the field, in the order driven."""
    swaths = round(WIDTH_METRES / SWATH_METRES)
    for swath in range(swaths):
        across = (swath + 0.5) * SWATH_METRES
        # The field's eastern end is cut off by a stream.
        end = LENGTH_METRES - 0.32 * max(0.0, across - 190.0)
        along = source.random() * STEP_METRES
        track = []
        wander = 0.0
        while along < end:
            wander = 0.9 * wander + 0.15 * normal(source)
            track.append((along, across + wander))
            along += STEP_METRES * (1.0 + 0.06 * normal(source))
        yield from track if swath % 2 == 0 else reversed(track)


def nearness(soil: Soil, x: float, y: float) -> float:
    """How much a place belongs to a soil; the largest decides."""
    return max(1.0 - math.hypot(x - u, y - v) / reach for u, v, reach in soil.places)


def survey(seed: int = SEED) -> Iterator[str]:
    """Lines of the file."""
    source = random.Random(seed)
    bend_x, bend_y = smooth_field(source, 45.0), smooth_field(source, 45.0)
    shallow_field, deep_field, hill_field = (smooth_field(source, reach) for reach in (16.0, 16.0, 26.0))
    cosine, sine = math.cos(math.radians(HEADING_DEGREES)), math.sin(math.radians(HEADING_DEGREES))
    yield "Longitude,Latitude,EC1,EC2,Elevation"
    for x, y in drive(source):
        u, v = x + 14.0 * bend_x(x, y), y + 14.0 * bend_y(x, y)
        soil = max(SOILS, key=lambda candidate: nearness(candidate, u, v))
        common = 0.8 * shallow_field(x, y) + 0.6 * normal(source)
        own = 0.8 * deep_field(x, y) + 0.6 * normal(source)
        ec1 = soil.shallow * math.exp(soil.spread * common)
        ec2 = soil.deep * math.exp(
            soil.spread * (soil.coupling * common + math.sqrt(1.0 - soil.coupling**2) * own)
        )
        # Clay and salt gather where it is low.
        hill = 0.9 * hill_field(x, y) + 0.3 * normal(source) - 0.35 * common
        elevation = soil.elevation + soil.relief * hill
        longitude = ORIGIN[0] + (x * cosine - y * sine) / (
            METRES_PER_DEGREE * math.cos(math.radians(ORIGIN[1]))
        )
        latitude = ORIGIN[1] + (x * sine + y * cosine) / METRES_PER_DEGREE
        yield f"{longitude:.7f},{latitude:.7f},{ec1:.1f},{ec2:.1f},{elevation:.2f}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in survey())
