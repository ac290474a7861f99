package export

import (
	"context"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// batches limits how far reading may run ahead of writing, and so the memory used for
// rows.
const batches = 3

// prefetch passes all batches filled by next to use, in order. Another goroutine fills
// them ahead of time, and has stopped by the time prefetch returns. A batch belongs to
// use until use returns.
func prefetch(ctx context.Context, next func(*sqlite.Batch) (bool, error), use func(*sqlite.Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	filled, free := make(chan *sqlite.Batch), make(chan *sqlite.Batch, batches)
	for range batches {
		free <- &sqlite.Batch{}
	}
	var readErr error
	go func() {
		defer close(filled)
		readErr = fill(ctx, next, free, filled)
	}()
	defer func() {
		cancel()
		for range filled {
		}
	}()
	for b := range filled {
		if err := use(b); err != nil {
			return err
		}
		free <- b
	}
	return readErr
}

// fill fills free batches and sends them on until there are no more rows.
func fill(ctx context.Context, next func(*sqlite.Batch) (bool, error), free <-chan *sqlite.Batch, filled chan<- *sqlite.Batch) (err error) {
	defer problem.Recovered(&err)
	for {
		var b *sqlite.Batch
		select {
		case b = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		more, err := next(b)
		if err != nil || !more {
			return err
		}
		select {
		case filled <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
