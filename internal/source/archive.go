package source

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/projectdb"
)

// mostDescribed bounds, in bytes, each archive member that is held in memory.
const mostDescribed = 64 << 20

// readArchive checks every member of one of our archives against its checksum and
// returns its database and the description of the tables.
func (z *zipFile) readArchive(ctx context.Context) (database string, described []projectdb.TableDescription, err error) {
	sums, err := z.checksums(ctx)
	if err != nil {
		return "", nil, err
	}
	database = z.scratch.path()
	file, err := os.OpenFile(database, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("unpack an archive: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var schema bytes.Buffer
	for _, member := range z.members {
		kept := io.Discard
		switch member.Name {
		case "SHA256SUMS":
			continue
		case "data.sqlite":
			kept = file
		case "schema.json":
			kept = bounded{&schema, member.Name}
		}
		if err := z.checkSum(ctx, member, sums, kept); err != nil {
			return "", nil, err
		}
	}
	for name := range sums {
		return "", nil, Invalid("The archive was changed: it has no member %q, which SHA256SUMS lists.", name)
	}
	described, err = describedTables(schema.Bytes())
	return database, described, err
}

// checkSum copies a member to kept, compares its checksum and removes it from sums.
func (z *zipFile) checkSum(ctx context.Context, member *zip.File, sums map[string]string, kept io.Writer) error {
	sum := sha256.New()
	if err := z.pass(ctx, member, io.MultiWriter(sum, kept)); err != nil {
		return err
	}
	want, listed := sums[member.Name]
	switch {
	case !listed:
		return Invalid("The archive was changed: the member %q is not listed in SHA256SUMS.", member.Name)
	case want != hex.EncodeToString(sum.Sum(nil)):
		return Invalid("The archive was changed: the member %q does not match its checksum in SHA256SUMS.", member.Name)
	}
	delete(sums, member.Name)
	return nil
}

// bounded is a buffer that holds up to mostDescribed bytes.
type bounded struct {
	*bytes.Buffer
	member string // of the archive that it is for
}

// Write adds to the buffer.
func (b bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > mostDescribed {
		return 0, Invalid("The member %q of the archive is larger than %d bytes.", b.member, mostDescribed)
	}
	return b.Buffer.Write(p)
}

// checksumLine matches a line in the format of sha256sum.
var checksumLine = regexp.MustCompile(`^([0-9a-f]{64}) [ *](.+)$`)

// checksums returns the contents of SHA256SUMS by member name.
func (z *zipFile) checksums(ctx context.Context) (map[string]string, error) {
	var text bytes.Buffer
	if err := z.pass(ctx, z.find("SHA256SUMS"), bounded{&text, "SHA256SUMS"}); err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for line := range bytes.Lines(text.Bytes()) {
		found := checksumLine.FindSubmatch(bytes.TrimRight(line, "\r\n"))
		if found == nil {
			return nil, Invalid("The archive was changed: SHA256SUMS has a line that is not a checksum.")
		}
		sums[string(found[2])] = string(found[1])
	}
	return sums, nil
}

// describedTables reads the schema.json of an archive.
func describedTables(text []byte) ([]projectdb.TableDescription, error) {
	var document struct {
		Tables []projectdb.TableDescription `json:"tables"`
	}
	// A default may contain text that is not UTF-8.
	if err := json.Unmarshal(text, &document, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, Invalid("The schema.json of the archive does not have the form that this program writes.").Because(err)
	}
	return document.Tables, nil
}
