package registry

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// lastUsed holds the uses of tokens that have not been stored yet: using a token must
// not cost a write.
type lastUsed struct {
	mu    sync.Mutex
	times map[ids.Token]time.Time // by token id
}

func (u *lastUsed) note(tokenID ids.Token, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.times == nil {
		u.times = map[ids.Token]time.Time{}
	}
	u.times[tokenID] = at
}

// of returns the last use of a token: the stored one, or a newer one not stored yet.
func (u *lastUsed) of(tokenID ids.Token, stored *string) *string {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.times[tokenID]
	if !ok {
		return stored
	}
	text := projectdb.Timestamp(at)
	return &text
}

func (u *lastUsed) take() map[ids.Token]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	times := u.times
	u.times = nil
	return times
}

// giveBack puts back times that could not be stored, unless there are newer ones.
func (u *lastUsed) giveBack(times map[ids.Token]time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.Copy(times, u.times)
	u.times = times
}

func (r *Registry) storeUses() error {
	times := r.used.take()
	if len(times) == 0 {
		return nil
	}
	err := r.write(context.Background(), func(c *sqlite.Conn) error {
		for id, at := range times {
			if err := c.Exec("UPDATE tokens SET last_used_at = ? WHERE id = ?", projectdb.Timestamp(at), id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.used.giveBack(times)
	}
	return err
}
