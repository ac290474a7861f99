package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// batchSize is how many rows one round inserts.
const batchSize = 1000

// insertion is one way to insert batchSize rows.
type insertion struct {
	name   string
	insert func(ctx context.Context, s *server, round int) error
}

var insertions = []insertion{
	{"one batch of 1,000 operations", insertBatch},
	{"one call with 1,000 rows", insertRows},
	{"1,000 calls in a row", insertSingly},
}

func batchRow(round, i int) map[string]any {
	return map[string]any{"name": fmt.Sprintf("row %d of round %d", i, round), "n": i}
}

func insertBatch(ctx context.Context, s *server, round int) error {
	operations := make([]map[string]any, batchSize)
	for i := range operations {
		operations[i] = map[string]any{"op": "insert", "table": "inserted", "data": batchRow(round, i)}
	}
	return s.post(ctx, "batch", map[string]any{"operations": operations}, nil)
}

func insertRows(ctx context.Context, s *server, round int) error {
	rows := make([]map[string]any, batchSize)
	for i := range rows {
		rows[i] = batchRow(round, i)
	}
	return s.post(ctx, "records/inserted", map[string]any{"data": rows}, nil)
}

func insertSingly(ctx context.Context, s *server, round int) error {
	for i := range batchSize {
		if err := s.post(ctx, "records/inserted", batchRow(round, i), nil); err != nil {
			return err
		}
	}
	return nil
}

// measureBatches returns a report of how long each insertion takes: the median of the
// rounds, in which they take turns.
func (c *config) measureBatches(ctx context.Context, s *server) (string, error) {
	table := map[string]any{"table_name": "inserted", "columns": []map[string]any{{"name": "name"}, {"name": "n", "type": "INTEGER"}}}
	if err := s.post(ctx, "table", table, nil); err != nil {
		return "", err
	}
	took := make([][]time.Duration, len(insertions))
	for round := range c.rounds {
		for i, way := range insertions {
			began := time.Now()
			if err := way.insert(ctx, s, round); err != nil {
				return "", fmt.Errorf("%s: %w", way.name, err)
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows of two columns, with the data folder in memory where there is /dev/shm; the median of %d rounds (`make bench-batches`).\n\n| | ms |\n|---|---:|\n", batchSize, c.rounds)
	for i, way := range insertions {
		slices.Sort(took[i])
		fmt.Fprintf(&b, "| %s | %d |\n", way.name, took[i][c.rounds/2].Milliseconds())
	}
	return b.String(), nil
}
