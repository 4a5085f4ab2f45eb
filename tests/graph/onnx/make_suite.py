#!/usr/bin/env python3
"""Writes the backend-test cases that an `onnx` package holds or generates, one folder a case, for `weft verify`.

    python3 -m venv .venv && .venv/bin/pip install onnx==1.23.2
    .venv/bin/python make_suite.py suite
    weft verify suite --target host --table OPERATORS.md

The package's own `cmd_tools generate-data` writes the models of whole networks only; operators' cases are collected
here too.
"""
import argparse
import pathlib
import shutil

import onnx
from onnx import numpy_helper
from onnx.backend.test import data as shipped
from onnx.backend.test.case import model as model_cases
from onnx.backend.test.case import node as node_cases


def encode(value, port):
    kind = port.type.WhichOneof("value")
    if hasattr(value, "SerializeToString"):
        return value.SerializeToString()
    if kind == "sequence_type":
        return numpy_helper.from_list(value, port.name).SerializeToString()
    if kind == "optional_type":
        return numpy_helper.from_optional(value, port.name).SerializeToString()
    if kind == "map_type":
        return numpy_helper.from_dict(value, port.name).SerializeToString()
    return numpy_helper.from_array(value, port.name).SerializeToString()


def write(case, folder):
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    assert (case.rtol, case.atol) == (1e-3, 1e-7), f"{case.name} has tolerances of its own"
    for i, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{i}"
        data.mkdir()
        for prefix, values, ports in (("input", inputs, case.model.graph.input), ("output", outputs, case.model.graph.output)):
            for j, (value, port) in enumerate(zip(values, ports)):
                (data / f"{prefix}_{j}.pb").write_bytes(encode(value, port))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path, help="a folder that does not exist yet")
    output = parser.parse_args().output
    output.mkdir(parents=True)
    counts = {}
    for case in node_cases.collect_testcases() + model_cases.collect_testcases():
        if case.model is None or case.data_sets is None:
            continue  # a network to download
        write(case, output / case.kind / case.name)
        counts[case.kind] = counts.get(case.kind, 0) + 1
    for kind in ("pytorch-converted", "pytorch-operator", "simple"):
        for folder in sorted((pathlib.Path(list(shipped.__path__)[0]) / kind).iterdir()):
            if (folder / "model.onnx").exists() and not (output / kind / folder.name).exists():
                shutil.copytree(folder, output / kind / folder.name)
                counts[kind] = counts.get(kind, 0) + 1
    print(f"onnx {onnx.__version__}:", ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())))


if __name__ == "__main__":
    main()
