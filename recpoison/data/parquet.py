"""Parquet: one file, or a folder of parts as Spark and others write them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recpoison.errors import DataError


def open_parquet(path: Path) -> pd.DataFrame:
    """All columns as they are stored; one that pandas kept as the index is a column like others.

    In a folder, hidden files and ``_SUCCESS`` are passed over, and ``key=value`` in a part's path is a column.
    Whole numbers stay whole where some are missing.

    Raises:
        DataError: If pyarrow is not installed or the file is broken.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"{path} needs pyarrow: pip install 'recpoison[parquet]', or save the table as csv") from None
    if not path.exists():
        raise DataError(f"there is no file {path}: check the path")
    try:
        table = parquet.read_table(path)
        frame = table.to_pandas(ignore_metadata=True, integer_object_nulls=True, split_blocks=True, self_destruct=True)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is no readable parquet file ({cause}): write it again") from None
    for name in frame.columns[frame.dtypes == "category"]:  # keys of folders
        frame[name] = frame[name].astype(object).infer_objects()
    return frame
