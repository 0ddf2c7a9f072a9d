"""Makes the README's picture: `python docs/make_pictures.py` (needs `pip install .[demo]`).

Trains the demo's two runs, reads their newest filmstrips back from the TensorBoard logs, and lays
the first rows of both side by side.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from keras_saliency.app.demo import train
from keras_saliency.log import tags
from keras_saliency.rendering import layouts

PICTURE = Path(__file__).parent / "pictures" / "demo.png"
HEIGHT = 19 + 8 * 44 - 4  # the title and the first eight rows


def newest_filmstrip(run: Path) -> np.ndarray:
    """The filmstrip with the largest step in a run's event file, uint8 RGB."""
    (path,) = run.glob("*tfevents*")
    strips = [
        value.tensor.string_val[2]
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.tag == tags.FILMSTRIP
    ]
    return np.asarray(Image.open(io.BytesIO(strips[-1])).convert("RGB"))


def main() -> None:
    """Trains, and writes `docs/pictures/demo.png`."""
    strips = []
    with tempfile.TemporaryDirectory() as folder:
        for run in ("clean", "tagged"):
            outcome = train(run, Path(folder))
            strip = newest_filmstrip(Path(folder) / run / tags.EPOCH_RUN)[:HEIGHT]
            words = (
                f"{run}: accuracy {outcome.own_accuracy:.2f} on validation images of its own kind, "
                f"{outcome.clean_accuracy:.2f} on clean ones"
            )
            strips.append(layouts.captioned(strip, [layouts.Line(words)]))
    PICTURE.write_bytes(layouts.encoded(layouts.beside(strips), lossless=True))
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
