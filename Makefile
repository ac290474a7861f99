# make check is what CI runs, without the race detector and the browser.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: check lint cross test race crash generated torture torture-short torture-selftest fuzz run bench bench-export bench-import bench-batches bench-positions bench-journal bench-journal-lists bench-journal-sweep docs

check: lint test

lint:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted: $$unformatted"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

# Everything compiles for the other systems, tests too. The first time takes minutes:
# SQLite is compiled for each.
cross:
	GOOS=darwin go vet ./...
	GOOS=windows go vet ./...

test:
	go test ./...

# The loop while one works. It prints the processor time of each package, which,
# unlike the time that passes, is nearly the same on a busy machine.
short:
	@log=$$(mktemp); trap 'rm -f '$$log EXIT; status=0; \
	ZANGTABLE_CPU_LOG=$$log go test -short -exec $(CURDIR)/.ci/cpu ./... || status=$$?; \
	awk '{ print $$1 + $$2, $$3; all += $$1 + $$2 } END { print all, "seconds in all" }' $$log | sort -n; exit $$status

# SQLite is C that was translated to Go and synchronizes memory that the race
# detector knows nothing of. Unwatched, it runs several times faster, and our own
# code is watched as before. internal/sqlite, which reaches into it, watches all.
UNWATCHED = -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false

# UNRACED is a pattern of packages to leave out.
UNRACED ?= ^$$
race:
	CGO_ENABLED=1 go test -race $(RACEFLAGS) -timeout 30m ./internal/sqlite
	CGO_ENABLED=1 go test -race $(RACEFLAGS) $(UNWATCHED) -timeout 30m $$(go list ./... | grep -v /internal/sqlite$$ | grep -vE '$(UNRACED)')

# KILLS is how many processes that export are killed at random moments.
KILLS ?= 500
crash:
	ZANGTABLE_KILLS=$(KILLS) go test -count 1 -timeout 0 -v -run '^TestKilled' ./internal/export

# Requests generated from the OpenAPI document, right and wrong ones, and then
# bytes that are none. REQUESTS says how many, SEED repeats an earlier run.
REQUESTS ?= 10000
generated:
	go test -count 1 -timeout 0 -v -run '^TestGeneratedRequests$$' ./internal/api -generate.requests=$(REQUESTS) -generate.seed=$(SEED)

# Real servers under kills, power cuts, full and failing disks, damaged files,
# few descriptors, hostile clients, statements and files (docs/reliability.md).
# PARTS is a list of parts, SEED that of an earlier run; TORTUREFLAGS="-projects
# 10000", "-kills 100" and others say how much of each.
PARTS ?= all
SEED ?= 0
torture:
	go run ./torture -parts $(PARTS) -seed $(SEED) $(TORTUREFLAGS)
	$(MAKE) generated

torture-short:
	go run ./torture -short -parts $(PARTS) -seed $(SEED) $(TORTUREFLAGS)

# Servers broken on purpose, each of which a part must notice.
torture-selftest:
	go run ./torture -short -selftest -parts $(PARTS) -seed $(SEED) $(TORTUREFLAGS)

# FUZZTIME bounds each fuzz target.
FUZZTIME ?= 1m
fuzz:
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

run:
	go run ./cmd/zangtable serve

bench:
	go test -run '^$$' -bench . -benchmem ./...

# Measures exports beside other programs, those that are installed. With
# BENCHFLAGS="-amalgamation DIR" the floor is built with the sqlite3.c there.
bench-export:
	go run ./bench -out docs/benchmarks.md $(BENCHFLAGS)

# Measures imports beside the sqlite3 shell.
bench-import:
	go run ./bench -imports -rows 1000000 -out docs/benchmarks.md $(BENCHFLAGS)

# 1,000 operations in one batch, beside 1,000 calls.
bench-batches:
	go run ./bench -batches -rows 1000 -out docs/benchmarks.md

# Pages at positions of a list of 1,000,000 records: BENCHFLAGS="-rows 10000000" for ten times as many.
bench-positions:
	go run ./bench -positions -rows 1000000 -out docs/benchmarks.md $(BENCHFLAGS)

# Calls per second over HTTP with the journal and without it: at most 5 % less.
bench-journal:
	go test -run '^$$' -bench '^BenchmarkRecording$$' -benchtime 5s -count 5 ./internal/server

# Pages of a journal with ENTRIES entries: each below 100 ms. Filling it takes minutes
# and 5 GB for 10,000,000.
ENTRIES ?= 10000000
bench-journal-lists:
	go test -run '^$$' -bench '^BenchmarkLists$$' -benchtime 20x -timeout 0 ./internal/journal -journal.entries=$(ENTRIES)

# What calls wait for the journal while it removes a day of them: 99 % below 20 ms.
bench-journal-sweep:
	go test -run '^$$' -bench '^BenchmarkCallsDuringASweep$$' -benchtime 10000x -timeout 0 ./internal/journal -journal.entries=1000000

# Writes the generated documents anew; tests compare them.
docs:
	go test ./internal/api ./cmd/zangtable -update
