package limits

import (
	"net/netip"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
)

// Settings are the limits that an operator can choose. 0 switches a limit off.
type Settings struct {
	MemoryBudget     int64 // bytes of the bodies and answers of all calls together
	CallsPerToken    int   // at once
	CallsPerProject  int   // at once
	TokenRate        int   // calls of a token in a second
	WrongTokens      int   // of one address in a second
	StreamsPerToken  int   // streams of events at once
	Connections      int   // of all clients together
	TablesPerProject int
	TokensPerProject int
}

// Defaults are the limits of a server that nobody has configured.
func Defaults() Settings {
	return Settings{
		MemoryBudget: 512 << 20, CallsPerToken: 64, CallsPerProject: 256, WrongTokens: 20, StreamsPerToken: 20,
		Connections: 4096, TablesPerProject: 20_000, TokensPerProject: 1_000,
	}
}

// Limits are the counters behind the settings that concern calls.
type Limits struct {
	Budget      *Budget
	Calls       *Calls
	TokenRate   *Rate[ids.Token]  // by token
	WrongTokens *Rate[netip.Addr] // by address
	Streams     *Gate[ids.Token]  // by token
	Settings    Settings
}

// New returns the counters for the settings. A nil clock is the system's.
func New(s Settings, now func() time.Time) *Limits {
	return &Limits{
		Budget:      NewBudget(s.MemoryBudget),
		Calls:       NewCalls(s.CallsPerToken, s.CallsPerProject),
		TokenRate:   NewRatePerSecond[ids.Token](s.TokenRate, now),
		WrongTokens: NewRatePerSecond[netip.Addr](s.WrongTokens, now),
		Streams:     NewGate[ids.Token](s.StreamsPerToken),
		Settings:    s,
	}
}

// RetryStream is when a client may try again to follow something.
const RetryStream = 5 * time.Second
