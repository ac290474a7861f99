package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/server"
)

// edgeFlags say how the server is reached, and who may monitor it.
type edgeFlags struct {
	PublicURL        server.Origin    `env:"ZANGTABLE_PUBLIC_URL" placeholder:"URL" help:"The address at which people reach the server, such as https://data.example.com; without it, only names of this machine count as the server's."`
	Admin            string           `default:"on" enum:"on,off" env:"ZANGTABLE_ADMIN" placeholder:"on|off" help:"Whether the panel is served at /admin (${default}; $$ZANGTABLE_ADMIN)."`
	TrustedProxies   server.Proxies   `env:"ZANGTABLE_TRUSTED_PROXIES" placeholder:"ADDRESS" help:"Addresses or networks of the proxies in front of the server whose X-Forwarded-For is trusted, separated by commas."`
	CORSAllowOrigins registry.Origins `name:"cors-allow-origins" env:"ZANGTABLE_CORS_ALLOW_ORIGINS" placeholder:"ORIGIN" help:"Origins such as https://app.example.com whose web pages may call every project, separated by commas; * for all."`
	Metrics          server.Metrics   `default:"loopback" env:"ZANGTABLE_METRICS" placeholder:"WHO" help:"Who may read /metrics: off, loopback for programs on this machine, token for tokens with project:admin, or the address of a separate listener (${default}; $$ZANGTABLE_METRICS)."`
	SlowCall         time.Duration    `default:"1s" env:"ZANGTABLE_SLOW_CALL" placeholder:"DURATION" help:"How long the databases of a call may take before it is logged with its query plan; 0 logs none (${default}; $$ZANGTABLE_SLOW_CALL)."`
}

func (f *edgeFlags) check() error {
	if f.SlowCall < 0 {
		return errors.New("--slow-call must not be below 0")
	}
	return nil
}

// limitFlags limit what clients can take of the server. 0 switches a limit off.
type limitFlags struct {
	MemoryBudget       int64 `default:"536870912" env:"ZANGTABLE_MEMORY_BUDGET" placeholder:"BYTES" help:"Memory for the bodies and answers of all calls together (${default}; $$ZANGTABLE_MEMORY_BUDGET)."`
	MaxCallsPerToken   int   `default:"64" env:"ZANGTABLE_MAX_CALLS_PER_TOKEN" placeholder:"COUNT" help:"How many calls of a token may run at once (${default}; $$ZANGTABLE_MAX_CALLS_PER_TOKEN)."`
	MaxCallsPerProject int   `default:"256" env:"ZANGTABLE_MAX_CALLS_PER_PROJECT" placeholder:"COUNT" help:"How many calls of a project may run at once (${default}; $$ZANGTABLE_MAX_CALLS_PER_PROJECT)."`
	TokenRate          int   `default:"0" env:"ZANGTABLE_TOKEN_RATE" placeholder:"COUNT" help:"How many calls a token may make per second; ${default} for no limit."`
	MaxWrongTokens     int   `default:"20" env:"ZANGTABLE_MAX_WRONG_TOKENS" placeholder:"COUNT" help:"How many invalid tokens an address may send per second (${default}; $$ZANGTABLE_MAX_WRONG_TOKENS)."`
	MaxStreamsPerToken int   `default:"20" env:"ZANGTABLE_MAX_STREAMS_PER_TOKEN" placeholder:"COUNT" help:"How many event streams a token may have open at once (${default}; $$ZANGTABLE_MAX_STREAMS_PER_TOKEN)."`
	MaxConnections     int   `default:"4096" env:"ZANGTABLE_MAX_CONNECTIONS" placeholder:"COUNT" help:"How many connections may be open at once; further ones wait (${default}; $$ZANGTABLE_MAX_CONNECTIONS)."`
	MaxTables          int   `default:"20000" env:"ZANGTABLE_MAX_TABLES" placeholder:"COUNT" help:"How many tables a project may have (${default}; $$ZANGTABLE_MAX_TABLES)."`
	MaxTokens          int   `default:"1000" env:"ZANGTABLE_MAX_TOKENS" placeholder:"COUNT" help:"How many tokens a project may have (${default}; $$ZANGTABLE_MAX_TOKENS)."`
}

func (f *limitFlags) check() error {
	if f.MemoryBudget != 0 && f.MemoryBudget < limits.MinBudget {
		return fmt.Errorf("--memory-budget must be at least %d, or 0 for no limit", int64(limits.MinBudget))
	}
	s := f.settings()
	if slices.Min([]int{s.CallsPerToken, s.CallsPerProject, s.TokenRate, s.WrongTokens, s.StreamsPerToken, s.Connections, s.TablesPerProject, s.TokensPerProject}) < 0 {
		return errors.New("a limit must not be below 0; 0 switches it off")
	}
	return nil
}

func (f *limitFlags) settings() limits.Settings {
	return limits.Settings{
		MemoryBudget: f.MemoryBudget, CallsPerToken: f.MaxCallsPerToken, CallsPerProject: f.MaxCallsPerProject, TokenRate: f.TokenRate,
		WrongTokens: f.MaxWrongTokens, StreamsPerToken: f.MaxStreamsPerToken, Connections: f.MaxConnections,
		TablesPerProject: f.MaxTables, TokensPerProject: f.MaxTokens,
	}
}
