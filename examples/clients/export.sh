#!/bin/sh
# Adds a contact, exports the table of contacts, downloads the file and checks
# its hash. Needs curl, jq and sha256sum. Usage:
#
#	TOKEN=pat_… ./export.sh http://127.0.0.1:8080/projects/example_project contacts.csv
set -eu
project=$1 file=$2
server=${project%%/projects/*}

# api METHOD PATH [BODY] prints the data of the answer, or fails with its error.
api() {
	curl -sS -X "$1" "$project$2" -H "Authorization: Bearer $TOKEN" \
		-H 'Content-Type: application/json' -d "${3-}" |
		jq -e 'if .ok then .data else error("\(.error.code): \(.error.message)") end'
}

added=$(api POST /records/contacts '{"company_id":1,"first_name":"Grace","last_name":"Hopper","email":"grace@example.com"}')
printf %s "$added" | jq -r '"added contact \(.row.id)"'

ordered=$(api POST /export/table/contacts '{"format":"csv"}')
url=$(printf %s "$ordered" | jq -r .export.download_url)
sum=$(printf %s "$ordered" | jq -r .export.sha256)

curl -sS -f -o "$file" -H "Authorization: Bearer $TOKEN" "$server$url"
printf '%s  %s\n' "$sum" "$file" | sha256sum -c --quiet -
printf %s "$ordered" | jq -r '.export | "exported \(.row_count) rows, \(.size_bytes) bytes, verified"'
