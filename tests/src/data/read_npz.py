"""Reads what write_npz writes with zipfile and NumPy. Exits 77 (skipped) where NumPy is missing."""
import os
import subprocess
import sys
import tempfile
import zipfile

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "a.npz")
    subprocess.run([sys.argv[1], path], check=True)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 14, archive.namelist()
    try:
        import numpy as np
    except ImportError:
        print("NumPy is not installed for", sys.executable, "(set WEFT_PYTHON to one that has it)")
        sys.exit(77)
    types = {"f64": "f8", "f32": "f4", "f16": "f2", "i64": "i8", "i32": "i4", "i16": "i2", "i8": "i1",
             "u64": "u8", "u32": "u4", "u16": "u2", "u8": "u1", "bool": "?"}
    with np.load(path, allow_pickle=False) as arrays:
        for name, code in types.items():
            want = np.arange(6).reshape(2, 3).astype(code)
            assert arrays[name].dtype == want.dtype, (name, arrays[name].dtype)
            assert (arrays[name] == want).all(), (name, arrays[name])
        assert arrays["scalar"].shape == () and arrays["scalar"] == 2.5
        assert arrays["empty"].shape == (0, 4) and arrays["empty"].dtype == np.float32
print("read by NumPy", np.__version__)
