/* The floor: what one thread in C needs to read a table and write it as CSV or
 * JSON, without a shell around it. Usage: floor DATABASE TABLE csv|json > FILE */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *out;
static size_t used, room = 1 << 20;

static void flush(void) {
  for (size_t done = 0; done < used;) {
    ssize_t n = write(1, out + done, used - done);
    if (n < 0) {
      perror("write");
      exit(1);
    }
    done += (size_t)n;
  }
  used = 0;
}

static void reserve(size_t n) {
  if (used + n <= room) return;
  flush();
  if (n > room) {
    room = n;
    out = realloc(out, room);
    if (!out) exit(1);
  }
}

static void put(const void *bytes, size_t n) {
  reserve(n);
  memcpy(out + used, bytes, n);
  used += n;
}

static void csv_text(const unsigned char *s, size_t n) {
  int quote = n == 0 || s[0] == ' ' || s[n - 1] == ' ';
  for (size_t i = 0; i < n && !quote; i++) quote = s[i] == '"' || s[i] == ',' || s[i] == '\n' || s[i] == '\r';
  if (!quote) {
    put(s, n);
    return;
  }
  reserve(2 * n + 2);
  out[used++] = '"';
  for (size_t i = 0; i < n; i++) {
    if (s[i] == '"') out[used++] = '"';
    out[used++] = (char)s[i];
  }
  out[used++] = '"';
}

static void json_text(const unsigned char *s, size_t n) {
  reserve(6 * n + 2);
  out[used++] = '"';
  for (size_t i = 0; i < n; i++) {
    if (s[i] < ' ') {
      used += (size_t)sprintf(out + used, s[i] == '\n' ? "\\n" : "\\u%04x", s[i]);
      continue;
    }
    if (s[i] == '"' || s[i] == '\\') out[used++] = '\\';
    out[used++] = (char)s[i];
  }
  out[used++] = '"';
}

static void base64(const unsigned char *s, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  reserve(4 * (n / 3 + 1));
  for (size_t i = 0; i < n; i += 3) {
    unsigned v = (unsigned)s[i] << 16 | (i + 1 < n ? (unsigned)s[i + 1] << 8 : 0) | (i + 2 < n ? s[i + 2] : 0);
    out[used++] = digits[v >> 18];
    out[used++] = digits[v >> 12 & 63];
    out[used++] = i + 1 < n ? digits[v >> 6 & 63] : '=';
    out[used++] = i + 2 < n ? digits[v & 63] : '=';
  }
}

static void value(sqlite3_stmt *s, int i, int json) {
  switch (sqlite3_column_type(s, i)) {
  case SQLITE_NULL:
    if (json) put("null", 4);
    return;
  case SQLITE_BLOB: {
    const unsigned char *b = sqlite3_column_blob(s, i);
    if (json) put("\"", 1);
    base64(b, (size_t)sqlite3_column_bytes(s, i));
    if (json) put("\"", 1);
    return;
  }
  case SQLITE_TEXT: {
    const unsigned char *t = sqlite3_column_text(s, i);
    size_t n = (size_t)sqlite3_column_bytes(s, i);
    if (json) json_text(t, n);
    else csv_text(t, n);
    return;
  }
  default: { /* SQLite itself writes numbers as text */
    const unsigned char *t = sqlite3_column_text(s, i);
    put(t, (size_t)sqlite3_column_bytes(s, i));
  }
  }
}

int main(int argc, char **argv) {
  sqlite3 *db;
  sqlite3_stmt *s;
  if (argc != 4) return 2;
  int json = !strcmp(argv[3], "json");
  out = malloc(room);
  char *sql = sqlite3_mprintf("SELECT * FROM \"%w\"", argv[2]);
  if (!out || !sql || sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY, 0) || sqlite3_prepare_v2(db, sql, -1, &s, 0)) {
    fprintf(stderr, "%s\n", sqlite3_errmsg(db));
    return 1;
  }
  int columns = sqlite3_column_count(s), rc, first = 1;
  if (json) put("[", 1);
  for (int i = 0; i < columns && !json; i++) {
    if (i) put(",", 1);
    const char *name = sqlite3_column_name(s, i);
    csv_text((const unsigned char *)name, strlen(name));
  }
  if (!json) put("\n", 1);
  while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
    if (json) put(first ? "\n{" : ",\n{", first ? 2 : 3);
    first = 0;
    for (int i = 0; i < columns; i++) {
      if (i) put(",", 1);
      if (json) {
        const char *name = sqlite3_column_name(s, i);
        json_text((const unsigned char *)name, strlen(name));
        put(":", 1);
      }
      value(s, i, json);
    }
    put(json ? "}" : "\n", 1);
  }
  if (json) put("\n]\n", 3);
  flush();
  if (rc != SQLITE_DONE) {
    fprintf(stderr, "%s\n", sqlite3_errmsg(db));
    return 1;
  }
  return 0;
}
