package registry

import (
	"context"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

const (
	setupLife = time.Hour
	setupSize = 16 // bytes of randomness
)

// SetupCode returns a new code with which one person can become the owner, within an
// hour; earlier codes are void. It returns "" if an owner can already sign in.
func (r *Registry) SetupCode(ctx context.Context) (code string, err error) {
	if code, err = newCode(r.options.Random, setupSize); err != nil {
		return "", err
	}
	h := hashOf(code)
	err = r.write(ctx, func(c *sqlite.Conn) error {
		if err := c.Exec("DELETE FROM setup_codes"); err != nil {
			return err
		}
		isSetUp, err := hasOwner(c)
		if err != nil || isSetUp {
			code = ""
			return err
		}
		return c.Exec("INSERT INTO setup_codes (hash, expires_at) VALUES (?, ?)", h[:], projectdb.Timestamp(r.options.Now().Add(setupLife)))
	})
	return code, err
}

// IsSetUp reports whether an owner can sign in.
func (r *Registry) IsSetUp(ctx context.Context) (isSetUp bool, err error) {
	err = r.read(ctx, func(c *sqlite.Conn) error {
		isSetUp, err = hasOwner(c)
		return err
	})
	return isSetUp, err
}

func hasOwner(c *sqlite.Conn) (bool, error) {
	n, err := c.Int("SELECT count(*) FROM account_users WHERE role = 'owner' AND password_hash IS NOT NULL")
	return n > 0, err
}

// SetupCodeIsValid reports whether a code can still be used.
func (r *Registry) SetupCodeIsValid(ctx context.Context, code string) (isValid bool, err error) {
	err = r.read(ctx, func(c *sqlite.Conn) error {
		isValid, err = r.isSetupCode(c, code)
		return err
	})
	return isValid, err
}

// isSetupCode reports whether a code makes an owner. None does once there is one: the
// operator may have named the owner while a link was still about.
func (r *Registry) isSetupCode(c *sqlite.Conn, code string) (bool, error) {
	if isSetUp, err := hasOwner(c); err != nil || isSetUp {
		return false, err
	}
	h := hashOf(code)
	n, err := c.Int("SELECT count(*) FROM setup_codes WHERE hash = ? AND expires_at > ?", h[:], projectdb.Timestamp(r.options.Now()))
	return n > 0, err
}

// SetUp makes the holder of a code the owner, uses the code up and signs the person in.
func (r *Registry) SetUp(ctx context.Context, code, username, password string, from From) (secret string, err error) {
	var faults problem.Faults
	(&AccountUserChange{Username: &username, Password: &password}).check(&faults)
	if err := faults.Err(); err != nil {
		return "", err
	}
	passwordHash, err := hashPassword(r.options.Random, password)
	if err != nil {
		return "", err
	}
	err = r.write(ctx, func(c *sqlite.Conn) error {
		isValid, err := r.isSetupCode(c, code)
		if err == nil && !isValid {
			err = problem.New(problem.CodePermissionDenied, "The link has been used or is too old. Start the server again for a new one.")
		}
		if err != nil {
			return err
		}
		if err := c.Exec("DELETE FROM setup_codes"); err != nil {
			return err
		}
		err = c.Exec("UPDATE account_users SET username = ?, password_hash = ?, role = 'owner', created_at = ? WHERE id = ?",
			username, passwordHash, projectdb.Timestamp(r.options.Now()), defaultAccountUser)
		if err != nil {
			return usernameTaken(username, err)
		}
		secret, err = r.startSession(c, int64(defaultAccountUser), nil, from)
		return err
	})
	if err == nil {
		err = r.Audit(ctx, AuditEvent{Actor: *AuthorOf(ids.AccountUser(defaultAccountUser), username), Action: "set-up", Address: from.Address})
	}
	return secret, err
}
