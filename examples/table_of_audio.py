"""Change the voice in a table: a Parquet file with a column of audio becomes another with the same rows.

python examples/table_of_audio.py in.parquet out.parquet anon

The column `audio` holds samples as lists of float32, `sample_rate` their rates in hertz; other columns are kept. Needs
pyarrow. The same `Mapper` serves frameworks that spread rows over machines: docs/many-files.md.
"""

import sys

import pyarrow as pa
import pyarrow.parquet as pq

from edgevc.batch import Mapper


def main(source: str, target: str, voice: str) -> None:
    """Convert batch by batch, so that a table may be larger than the memory."""
    change = Mapper(voice)
    table = pq.ParquetFile(source)
    with pq.ParquetWriter(target, table.schema_arrow) as writer:
        for batch in table.iter_batches(batch_size=64):
            rows = [change(row) for row in batch.to_pylist()]
            writer.write_table(pa.Table.from_pylist(rows, schema=table.schema_arrow))


if __name__ == "__main__":
    main(*sys.argv[1:])
