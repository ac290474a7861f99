package export

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"time"

	"github.com/zangtable/zangtable/internal/format"
)

// Member is a file inside the artifact.
type Member struct {
	Name      string `json:"name"`
	SizeBytes int64  `json:"size_bytes" doc:"Uncompressed."`
	SHA256    string `json:"sha256" doc:"SHA-256 of the uncompressed bytes, in hexadecimal."`
	Table     string `json:"table,omitzero" doc:"The table whose rows it holds."`
}

// memberZIP is a ZIP file that keeps a record of its members.
type memberZIP struct {
	zip      *format.ZIP
	modified time.Time
	comment  string          // of the next member
	taken    map[string]bool // see format.MemberName
	members  []Member

	w   io.Writer // of the current member
	sum hash.Hash
}

func newMemberZIP(w io.Writer, modified time.Time) *memberZIP {
	return &memberZIP{zip: format.NewZIP(w), modified: modified, taken: map[string]bool{}, sum: sha256.New()}
}

// createTable begins the member for a table in a folder, "" for none.
func (z *memberZIP) createTable(folder, table, ext string) error {
	name := format.MemberName(table, ext, z.taken)
	if folder != "" {
		name = folder + "/" + name
	}
	return z.create(name, table)
}

// create begins a member, which is filled by Write.
func (z *memberZIP) create(name, table string) (err error) {
	z.endMember()
	if z.w, err = z.zip.Describe(name, z.modified, z.comment); err != nil {
		return err
	}
	z.comment = ""
	z.members = append(z.members, Member{Name: name, Table: table})
	return nil
}

func (z *memberZIP) endMember() {
	if z.w == nil {
		return
	}
	z.members[len(z.members)-1].SHA256 = hex.EncodeToString(z.sum.Sum(nil))
	z.sum.Reset()
	z.w = nil
}

// Write appends to the current member. It hashes while another goroutine compresses.
func (z *memberZIP) Write(p []byte) (int, error) {
	hashed := make(chan struct{})
	go func() {
		defer close(hashed)
		z.sum.Write(p)
	}()
	n, err := z.w.Write(p)
	<-hashed
	z.members[len(z.members)-1].SizeBytes += int64(n)
	return n, err
}

// add writes a whole member.
func (z *memberZIP) add(name string, content []byte) error {
	if err := z.create(name, ""); err != nil {
		return err
	}
	_, err := z.Write(content)
	return err
}

func (z *memberZIP) close() error {
	z.endMember()
	return z.zip.Close()
}
