"""What a perfect generator would get: one half of the real images measured against the other.

    python benchmarks/two_halves.py --dataset glyphs

Prints the distances, precision, recall, density and coverage of the two halves of a split, with the features
that `gmzoo evaluate` takes for this data set.
"""

from __future__ import annotations

import argparse
import time

from zoo import data
from zoo.data import in_order
from zoo.evaluation import extractors
from zoo.evaluation.frechet import frechet_distance
from zoo.evaluation.kernel import kernel_distance
from zoo.evaluation.neighbours import NEIGHBOUR, neighbourhoods
from zoo.evaluation.summaries import summarise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="glyphs")
    parser.add_argument("--split", default="test")
    parser.add_argument("--extractor")
    parser.add_argument("--k", type=int, default=NEIGHBOUR, help="to which neighbour balls reach")
    options = parser.parse_args()

    images = data.load(options.dataset, options.split)
    shape = images.fields["image"].shape[1:]
    extractor = extractors.choose(options.extractor, options.dataset, images.info, shape)
    begun = time.perf_counter()
    pieces = (batch["image"] for batch in in_order(images, 512))
    found = summarise(extractor, pieces, len(images), classes=False)
    seconds = time.perf_counter() - begun
    first, second = found.kept[::2], found.kept[1::2]
    distance, error, rows = kernel_distance(first, second)
    near = neighbourhoods(first, second, options.k)

    print(f"{len(images):,} images of {options.dataset}, split {options.split}; {extractor.name}")
    print(f"features    {len(images) / seconds:,.0f} images/s")
    print(f"FID         {frechet_distance(*found.parts):.4f}, {found.parts[0].count:,} images a half")
    print(f"KID         {distance:.6f} +- {error:.6f}, blocks of {rows:,}")
    for name in ("precision", "recall", "density", "coverage"):
        value, error = getattr(near, name)
        print(f"{name:<12}{value:.4f} +- {error:.4f}, {len(first):,} images a half")


if __name__ == "__main__":
    main()
