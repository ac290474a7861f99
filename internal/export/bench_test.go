package export

import (
	"testing"
)

func BenchmarkExport(b *testing.B) {
	const rows = 200_000
	f := newFixture(b, b.TempDir())
	f.project(shop.ID, large(rows))
	f.Start()
	for _, order := range []Request{
		{Kind: TableExport, Table: "big", Format: "csv"},
		{Kind: TableExport, Table: "big", Format: "json"},
		{Kind: DatabaseExport, Format: "zip"},
	} {
		b.Run(order.Format, func(b *testing.B) {
			for b.Loop() {
				m := f.wait(f.create(order))
				b.SetBytes(*m.SizeBytes)
				if err := f.Delete(b.Context(), shop.ID, m.ID); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
