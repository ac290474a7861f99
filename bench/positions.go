package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// measurePositions measures pages at positions of a long list: the first far one, and
// random ones once the milestones of the list stand.
func (c *config) measurePositions(ctx context.Context, s *server) (string, error) {
	first, err := s.timePosition(ctx, c.rows-200)
	if err != nil {
		return "", err
	}
	select { // the background build takes less than that
	case <-time.After(time.Duration(5+c.rows/1_000_000) * time.Second):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	var took []time.Duration
	for i := range 200 {
		one, err := s.timePosition(ctx, (i*7919*997)%(c.rows-200))
		if err != nil {
			return "", err
		}
		took = append(took, one)
	}
	slices.Sort(took)
	return fmt.Sprintf("Pages of 100 records at a position in a table of %d records, in the order of the key:\n\n| before milestones, the last page | then, p50 | p99 |\n|---|---|---|\n| %s | %s | %s |\n",
		c.rows, first.Round(time.Millisecond), took[len(took)/2].Round(100*time.Microsecond), took[len(took)*99/100].Round(100*time.Microsecond)), nil
}

// timePosition lists a page at a position and returns how long that took.
func (s *server) timePosition(ctx context.Context, position int) (time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("%s/projects/bench/records/%s?limit=100&position=%d", s.url, tableName, position), nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	began := time.Now()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	var page struct {
		Data struct {
			Returned int  `json:"returned"`
			Exact    bool `json:"position_exact"`
		} `json:"data"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if page.Data.Returned != 100 || !page.Data.Exact {
		return 0, fmt.Errorf("position %d: %d records, exact: %t", position, page.Data.Returned, page.Data.Exact)
	}
	return took, nil
}
