package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/zangtable/zangtable/internal/server"
)

// dataFlag names the data folder.
type dataFlag struct {
	Data string `default:"./zangtable-data" env:"ZANGTABLE_DATA" placeholder:"DIR" help:"The data folder, created if missing (${default}; $$ZANGTABLE_DATA)."`
}

// listenFlag names the address to serve on.
type listenFlag struct {
	Listen string `default:"127.0.0.1:8080" env:"ZANGTABLE_LISTEN" placeholder:"ADDR" help:"The address to listen on (${default}; $$ZANGTABLE_LISTEN)."`
}

// exportFlags say where finished exports are kept, and for how long.
type exportFlags struct {
	ExportLife         time.Duration `default:"24h" env:"ZANGTABLE_EXPORT_LIFE" placeholder:"DURATION" help:"How long an export is kept if its request does not say (${default}; $$ZANGTABLE_EXPORT_LIFE)."`
	ExportKeep         int64         `env:"ZANGTABLE_EXPORT_KEEP" placeholder:"COUNT" help:"How many exports of a project are kept, newest first; without it, all until they expire."`
	ExportKeepBytes    int64         `env:"ZANGTABLE_EXPORT_KEEP_BYTES" placeholder:"BYTES" help:"How many bytes of exports of a project are kept, newest first; without it, there is no limit."`
	ExportStore        string        `env:"ZANGTABLE_EXPORT_STORE" placeholder:"URL" help:"The bucket that finished exports go to: s3://…, gs://… or azblob://…; without it they stay in the data folder."`
	ExportOldStores    []string      `env:"ZANGTABLE_EXPORT_OLD_STORES" placeholder:"URL" help:"Buckets with earlier exports that can still be downloaded, separated by commas."`
	QueryExportTimeout time.Duration `default:"10m" env:"ZANGTABLE_QUERY_EXPORT_TIMEOUT" placeholder:"DURATION" help:"How long the statement of a query export may run; 0 for no limit (${default}; $$ZANGTABLE_QUERY_EXPORT_TIMEOUT)."`
	JobHistoryBytes    int64         `default:"268435456" env:"ZANGTABLE_JOB_HISTORY_BYTES" placeholder:"BYTES" help:"How many bytes the requests and manifests of a project's exports may take up, and those of its imports; 0 for no limit (${default}; $$ZANGTABLE_JOB_HISTORY_BYTES)."`
	ExportMaxPending   int           `default:"1000" env:"ZANGTABLE_EXPORT_MAX_PENDING" placeholder:"COUNT" help:"How many exports of a project may be waiting; 0 for no limit (${default}; $$ZANGTABLE_EXPORT_MAX_PENDING)."`
	ExportLinkLife     time.Duration `env:"ZANGTABLE_EXPORT_LINK_LIFE" placeholder:"DURATION" help:"Redirect downloads to bucket addresses that are valid for this long, such as 5m; without it, the server sends the files itself."`
}

func (f *exportFlags) check() error {
	if f.ExportLife < time.Second || f.ExportKeep < 0 || f.ExportKeepBytes < 0 || f.QueryExportTimeout < 0 || f.ExportMaxPending < 0 || f.JobHistoryBytes < 0 {
		return errors.New("--export-life must be at least 1s, and none of --export-keep, --export-keep-bytes, --query-export-timeout, --export-max-pending and --job-history-bytes below 0")
	}
	return nil
}

// serve is the command that runs the server.
type serve struct {
	dataFlag
	listenFlag
	diskFlags
	exportFlags
	importFlags
	edgeFlags
	limitFlags
	workerFlags
	schemaFlags
	journalFlags
}

// journalFlags say what is recorded of calls, and for how long.
type journalFlags struct {
	Journal          string        `default:"on" enum:"on,off" env:"ZANGTABLE_JOURNAL" help:"Whether calls are recorded: on or off (${default}; $$ZANGTABLE_JOURNAL)."`
	JournalKeep      time.Duration `default:"336h" env:"ZANGTABLE_JOURNAL_KEEP" placeholder:"DURATION" help:"How long recorded calls are kept (${default}; $$ZANGTABLE_JOURNAL_KEEP)."`
	JournalBytes     int64         `default:"1073741824" env:"ZANGTABLE_JOURNAL_BYTES" placeholder:"BYTES" help:"How large the journal may become (${default}; $$ZANGTABLE_JOURNAL_BYTES)."`
	JournalIDs       string        `name:"journal-ids" default:"full" enum:"full,hash,none" env:"ZANGTABLE_JOURNAL_IDS" help:"How ids of records are recorded: full, hash or none (${default}; $$ZANGTABLE_JOURNAL_IDS)."`
	JournalAddresses string        `default:"full" enum:"full,truncated,none" env:"ZANGTABLE_JOURNAL_ADDRESSES" help:"How addresses of clients are recorded: full, truncated or none (${default}; $$ZANGTABLE_JOURNAL_ADDRESSES)."`
}

func (f *journalFlags) check() error {
	if f.JournalKeep < time.Hour || f.JournalBytes < 1<<20 {
		return errors.New("--journal-keep must be at least 1h, and --journal-bytes at least 1048576")
	}
	return nil
}

func (f *journalFlags) settings() server.JournalSettings {
	return server.JournalSettings{Off: f.Journal == "off", KeepFor: f.JournalKeep, KeepBytes: f.JournalBytes, IDs: f.JournalIDs, Addresses: f.JournalAddresses}
}

// workerFlags limit the processes that run clients' SQL.
type workerFlags struct {
	WorkerMemory    int64 `default:"67108864" env:"ZANGTABLE_WORKER_MEMORY" placeholder:"BYTES" help:"How much memory a client's statement may use (${default}; $$ZANGTABLE_WORKER_MEMORY)."`
	WorkerTempBytes int64 `default:"1073741824" env:"ZANGTABLE_WORKER_TEMP_BYTES" placeholder:"BYTES" help:"How many bytes of temporary files a client's statement may use (${default}; $$ZANGTABLE_WORKER_TEMP_BYTES)."`
	Workers         int   `default:"16" env:"ZANGTABLE_WORKERS" placeholder:"COUNT" help:"How many statements from clients may run at once (${default}; $$ZANGTABLE_WORKERS)."`
}

// Validate is called by kong.
func (f *workerFlags) Validate() error {
	const leastMemory = 8 << 20
	if f.WorkerMemory < leastMemory || f.WorkerTempBytes < 1 || f.Workers < 1 {
		return fmt.Errorf("--worker-memory must be at least %d, and --worker-temp-bytes and --workers at least 1", leastMemory)
	}
	return nil
}

// schemaFlags limit what schema changes may cost others.
type schemaFlags struct {
	SchemaTimeout time.Duration `default:"10m" env:"ZANGTABLE_SCHEMA_TIMEOUT" placeholder:"DURATION" help:"How long a change of the schema, an index or an import may keep the other writes of its project waiting; 0 for no limit (${default}; $$ZANGTABLE_SCHEMA_TIMEOUT)."`
}

func (f *schemaFlags) check() error {
	if f.SchemaTimeout < 0 {
		return errors.New("--schema-timeout must not be below 0")
	}
	return nil
}

// importFlags limit what imports may hold.
type importFlags struct {
	ImportKeep       int64 `default:"1000" env:"ZANGTABLE_IMPORT_KEEP" placeholder:"COUNT" help:"How many files of failed imports and dry runs of a project are kept, newest first; 0 for no limit (${default}; $$ZANGTABLE_IMPORT_KEEP)."`
	ImportKeepBytes  int64 `default:"34359738368" env:"ZANGTABLE_IMPORT_KEEP_BYTES" placeholder:"BYTES" help:"How many bytes the files of a project's imports may take up; 0 for no limit (${default}; $$ZANGTABLE_IMPORT_KEEP_BYTES)."`
	ImportMaxPending int   `default:"1000" env:"ZANGTABLE_IMPORT_MAX_PENDING" placeholder:"COUNT" help:"How many imports of a project may be uploading or waiting; 0 for no limit (${default}; $$ZANGTABLE_IMPORT_MAX_PENDING)."`
	ImportMaxBytes   int64 `default:"17179869184" env:"ZANGTABLE_IMPORT_MAX_BYTES" placeholder:"BYTES" help:"How large an uploaded file may be (${default}; $$ZANGTABLE_IMPORT_MAX_BYTES)."`
}

func (f *importFlags) check() error {
	if f.ImportMaxPending < 0 || f.ImportKeep < 0 || f.ImportKeepBytes < 0 {
		return errors.New("none of --import-max-pending, --import-keep and --import-keep-bytes may be below 0")
	}
	return nil
}

// orUnlimited converts the 0 of a flag, which switches a limit off, into the server
// setting with that meaning.
func orUnlimited[T ~int | ~int64](limit T) T {
	if limit == 0 {
		return -1
	}
	return limit
}

// Validate is called by kong.
func (s *serve) Validate() error {
	return errors.Join(s.diskFlags.check(), s.edgeFlags.check(), s.exportFlags.check(), s.importFlags.check(), s.limitFlags.check(), s.schemaFlags.check(), s.journalFlags.check())
}

// Run serves until the process is told to stop.
func (s *serve) Run(p *program) error {
	log := p.logger(slog.LevelInfo)
	app, err := server.Open(s.Data, server.Settings{
		SchemaTimeout:   s.SchemaTimeout,
		ImportMaxBytes:  s.ImportMaxBytes,
		ReserveBytes:    orUnlimited(s.ReserveBytes),
		ProjectMaxBytes: s.ProjectMaxBytes,
		Limits:          s.limitFlags.settings(),
		PublicURL:       s.PublicURL,
		Origins:         s.CORSAllowOrigins,
		TrustedProxies:  s.TrustedProxies,
		Metrics:         s.Metrics,
		SlowCall:        s.SlowCall,
		Journal:         s.journalFlags.settings(),
		Admin:           s.Admin == "on",
		ExportLife:      s.ExportLife,
		ExportKeep:      s.ExportKeep,
		ExportKeepBytes: s.ExportKeepBytes,
		ExportStore:     s.ExportStore,
		ExportOldStores: s.ExportOldStores,
		ExportLinkLife:  s.ExportLinkLife,

		JobHistoryBytes:    orUnlimited(s.JobHistoryBytes),
		ExportMaxPending:   orUnlimited(s.ExportMaxPending),
		ImportMaxPending:   orUnlimited(s.ImportMaxPending),
		ImportKeep:         orUnlimited(s.ImportKeep),
		ImportKeepBytes:    orUnlimited(s.ImportKeepBytes),
		QueryExportTimeout: orUnlimited(s.QueryExportTimeout),

		WorkerMemory:    s.WorkerMemory,
		WorkerTempBytes: s.WorkerTempBytes,
		WorkerCount:     s.Workers,
	}, log)
	if err != nil {
		return err
	}
	defer p.endInTime(log)()
	defer app.Close()
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.Listen, err)
	}
	if err := s.printSetup(p, app, listener); err != nil {
		return err
	}
	if err := app.Serve(p.ctx, listener, buildVersion()); err != nil {
		return err
	}
	return closeApp(app)
}

// printSetup prints the link with which the first owner sets up the server. Beyond
// this machine it goes to a terminal only: logs are read by others.
func (s *serve) printSetup(p *program, app *server.App, listener net.Listener) error {
	if s.Admin != "on" {
		return nil
	}
	out, isFile := p.stdout.(*os.File)
	onTerminal := isFile && term.IsTerminal(int(out.Fd()))
	address, isTCP := listener.Addr().(*net.TCPAddr)
	if !onTerminal && !(isTCP && address.IP.IsLoopback()) {
		return nil
	}
	link, err := app.SetupLink(p.ctx, cmp.Or(s.PublicURL.String(), baseURL(listener)))
	if err == nil && link != "" {
		fmt.Fprintf(p.stdout, "Set up the panel, within an hour: %s\n", link)
	}
	return err
}

var (
	// stopTime is how long the process lives after it was told to stop. It is longer
	// than the time that running requests get, and shorter than the 30 seconds after
	// which supervisors kill.
	stopTime = 28 * time.Second

	// closeApp closes what the server has opened; a test replaces it to make it hang.
	closeApp = (*server.App).Close
)

// endInTime makes sure that the process ends soon after it was told to stop, even if
// something cannot be interrupted. Nothing is lost: acknowledged changes are on disk,
// and the next start undoes the others, as after a power cut. The returned function
// cancels this.
func (p *program) endInTime(log *slog.Logger) (cancel func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(p.ctx, func() {
		select {
		case <-done:
		case <-time.After(stopTime):
			log.Error("a running call cannot be interrupted: the process exits without waiting for it", "after", stopTime)
			os.Exit(exitStuck)
		}
	})
	return func() {
		stop()
		close(done)
	}
}

// baseURL returns the address at which a browser on this machine reaches the listener.
func baseURL(listener net.Listener) string {
	address := listener.Addr().String()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + strings.TrimSuffix(net.JoinHostPort(host, port), ":80")
}
