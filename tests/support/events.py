"""TensorBoard's event files: what is in them, and how to write some by hand."""

import contextlib
import io

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from keras_saliency.log import tags


def events(directory):
    """`{tag: {step: tensor}}` of all event files of a run, in the order written."""
    found = {}
    for path in sorted(directory.glob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, {}).setdefault(event.step, []).append(value.tensor)
    return found


def steps(directory):
    return {tag: sorted(by_step) for tag, by_step in events(directory).items()}


def pixels(tensor):
    return np.asarray(Image.open(io.BytesIO(tensor.string_val[2])).convert("RGB"))


def tensor(kind, shape, **values):
    dims = [tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in shape]
    shape = tensor_shape_pb2.TensorShapeProto(dim=dims)
    return tensor_pb2.TensorProto(dtype=kind, tensor_shape=shape, **values)


def blobs(*elements):
    return tensor(types_pb2.DT_STRING, [len(elements)], string_val=elements)


def scalar(number):
    return tensor(types_pb2.DT_FLOAT, [], float_val=[number])


def write(writer, tag, step, what, *, plugin=tags.PLUGIN, wall_time=None, data_class=3):
    metadata = summary_pb2.SummaryMetadata(
        data_class=data_class,
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin),
    )
    value = summary_pb2.Summary.Value(tag=tag, tensor=what, metadata=metadata)
    writer.add_event(
        event_pb2.Event(
            wall_time=1e9 + step if wall_time is None else wall_time,
            step=step,
            summary=summary_pb2.Summary(value=[value]),
        )
    )


@contextlib.contextmanager
def writing(directory):
    writer = EventFileWriter(str(directory))
    yield writer
    writer.close()


def write_blobs(directory, tag, step, blobs, *, suffix="", time=1):
    value = summary_pb2.Summary.Value(tag=tag)
    value.metadata.plugin_data.plugin_name = tags.PLUGIN
    value.tensor.string_val.extend(blobs)
    writer = EventFileWriter(str(directory), filename_suffix=f".{step}{suffix}")
    writer.add_event(
        event_pb2.Event(step=step, wall_time=time, summary=summary_pb2.Summary(value=[value]))
    )
    writer.close()
