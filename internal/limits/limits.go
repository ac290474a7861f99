package limits

import (
	"net/netip"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
)

// Settings are the limits that an operator can set. 0 disables a limit.
type Settings struct {
	MemoryBudget     int64 // bytes of the bodies and answers of all calls together
	CallsPerToken    int   // concurrent
	CallsPerProject  int   // concurrent
	TokenRate        int   // calls per second of a token
	WrongTokens      int   // per second from one address
	StreamsPerToken  int   // concurrent event streams
	Connections      int   // of all clients together
	TablesPerProject int
	TokensPerProject int
}

// Defaults returns the limits of a server that has not been configured.
func Defaults() Settings {
	return Settings{
		MemoryBudget: 512 << 20, CallsPerToken: 64, CallsPerProject: 256, WrongTokens: 20, StreamsPerToken: 20,
		Connections: 4096, TablesPerProject: 20_000, TokensPerProject: 1_000,
	}
}

// Limits holds the counters for the settings that apply to calls.
type Limits struct {
	Budget      *Budget
	Calls       *Calls
	TokenRate   *Rate[ids.Token]  // by token
	WrongTokens *Rate[netip.Addr] // by address
	Streams     *Gate[ids.Token]  // by token
	Settings    Settings
}

// New returns the counters for the settings. A nil clock means the system's.
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

// RetryStream is how long a client should wait before it tries to follow something
// again.
const RetryStream = 5 * time.Second
