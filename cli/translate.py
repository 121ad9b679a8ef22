"""`gmzoo translate`."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.command import Command, data_options, model_options, out_options, split_option
from zoo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from zoo.cli.images import Folder, Pieces, Rows
    from zoo.sampling import LoadedModel

#: Images in a row of a picture.
COLUMNS = 8


@click.command("translate", cls=Command)
@model_options
@data_options
@split_option
@click.option("--index", metavar="I,J-K", help="These images of the data, counted from 0.")
@click.option(
    "--to",
    metavar="DOMAIN",
    required=True,
    help='A domain, by its name or number; or values of attributes, as in "hair=black,young=1".',
)
@click.option(
    "--image-size",
    type=click.IntRange(min=8),
    help="Crop the images to squares and resize them to this size first.  [default: as they are]",
)
@out_options
def command(
    model: str,
    runs_dir: str | None,
    index: str | None,
    to: str,
    image_size: int | None,
    out: str | None,
    force: bool,
    **source: Any,
) -> None:
    """Translate images to another domain, or change their attributes.

    Images may be of any size and are translated as they are. Where the data has domains that the model knows,
    images that are of the asked domain already are left out.

    Writes a folder with a .png for each image, a .png with the images above their translations (of one image
    the translation alone), or an .npz that holds `image` and `translated`, each [N, H, W, C].

        gmzoo translate --model cyclegan --data shapes --to outline
        gmzoo translate --model cyclegan --data folder:photos --to B --out translated/
        gmzoo translate --model stargan --data folder:faces --to "hair=black,young=1" --out faces.png
    """
    from zoo.cli import inputs, output
    from zoo.cli.images import find

    if index is not None and source["limit"] is not None:
        raise UsageError("--index says which images: leave out --limit.")
    chosen = None if index is None else inputs.parse_indices(index)
    path = output.check_out(out, force, (output.FOLDER, ".png", ".npz"))
    kind = ".png" if path is None or out is None else output.ending(out)
    loaded = inputs.load_model(model, runs_dir, source)
    loaded.require("translate")
    target = loaded.target(to if loaded.asks == "domain" else inputs.parse_values(to))
    images = find(loaded, to, image_size, chosen, kind, **source)
    path = path or output.free_name(f"{loaded.name}-translations", kind)
    if kind == output.FOLDER:
        output.write_folder(path, files(translated(loaded, images, target), images.names))
    else:
        write_together(path, kind, loaded, images, target)
    click.echo(path)


def translated(model: LoadedModel, images: Rows | Folder, target: np.ndarray) -> Pieces:
    """The names of images with their translations, with progress."""
    from zoo.cli.progress import follow

    names: list[list[str]] = []

    def made() -> Iterator[np.ndarray]:
        for some, x in images.pieces(model):
            names.append(some)
            yield model.translate(x, target)

    for piece in follow(made(), len(images), "translating"):
        yield names.pop(0), piece


def files(pieces: Pieces, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """A PNG file for each image, called as the one that it was made of.

    Args:
        pieces: names and images.
        names: all names there are: `a.jpg` becomes `a.png`, and `a.jpg.png` where another would be that.
    """
    from zoo.reports import pictures

    wanted = Counter(map(as_png, names))
    for some, images in pieces:
        for name, image in zip(some, images, strict=True):
            file = as_png(name)
            if wanted[file] > 1 and file != name:
                file = f"{name}.png"
            buffer = io.BytesIO()
            pictures.picture(image).save(buffer, "PNG")
            yield file, buffer.getvalue()


def as_png(name: str) -> str:
    """A name with the ending .png."""
    return str(PurePosixPath(name).with_suffix(".png"))


def write_together(
    path: Path, kind: str, model: LoadedModel, images: Rows | Folder, target: np.ndarray
) -> None:
    """Writes a picture or arrays of images and translations."""
    import numpy as np

    from zoo.cli import output
    from zoo.reports import pictures

    originals = (x for _, x in images.pieces(model))
    made = (x for _, x in translated(model, images, target))
    if kind == ".npz":
        count = len(images)
        output.write_npz(path, {"image": (count, originals), "translated": (count, made)})
        return
    results = np.concatenate([*made])
    if len(results) == 1:
        picture = pictures.picture(results[0])
    else:
        picture = pictures.stacks(np.concatenate([*originals]), results, columns=COLUMNS)
    pictures.write_picture(picture, path)
