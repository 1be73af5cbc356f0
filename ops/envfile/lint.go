package envfile

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Severity of a Finding.
type Severity string

// The severities. An error is refused by push.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Finding is a value that mosparo would read otherwise than it looks.
type Finding struct {
	Severity Severity `json:"severity"`
	Key      string   `json:"key"`
	Reason   string   `json:"reason"` // what mosparo makes of it; never the value of a secret
	Mend     string   `json:"mend"`   // what to write instead
}

// String is the finding as one line.
func (f Finding) String() string { return fmt.Sprintf("%s: %s; %s", f.Key, f.Reason, f.Mend) }

// kind is how mosparo reads a variable.
type kind int

const (
	text      kind = iota
	boolean        // 1/0, true/false, yes/no, on/off; anything else fails or is false
	truthy         // PHP string truthiness: only empty and "0" are false
	number         // a whole number; anything else is a PHP error, out of range becomes the default in silence
	addresses      // IP addresses and networks, commas, no blanks
	choice
	dsn
	filePath
)

type variable struct {
	kind     kind
	min, max int    // of number; max 0: no upper bound
	fallback int    // what mosparo takes for a number out of range
	unit     string // of number
	choices  []string
}

// variables are the environment variables of mosparo 1.5, by name.
var variables = map[string]variable{
	"APP_ENV":                                       {kind: choice, choices: []string{"prod", "dev", "test"}},
	"APP_DEBUG":                                     {kind: boolean},
	"APP_SECRET":                                    {},
	"TRUSTED_PROXIES":                               {kind: addresses},
	"LOCK_DSN":                                      {},
	"MOSPARO_CONFIG_FILE_PATH":                      {kind: filePath},
	"MOSPARO_ENV_SUFFIX":                            {},
	"DATABASE_MYSQL_SSL":                            {kind: truthy},
	"DATABASE_MYSQL_SSL_KEY":                        {kind: filePath},
	"DATABASE_MYSQL_SSL_CERT":                       {kind: filePath},
	"DATABASE_MYSQL_SSL_CA":                         {kind: filePath},
	"DATABASE_MYSQL_SSL_VERIFY_SERVER_CERT":         {kind: truthy},
	"MOSPARO_UPDATES_ENABLED":                       {kind: truthy},
	"MOSPARO_AUTOMATIC_UPDATE_CHECK_ENABLED":        {kind: truthy},
	"MOSPARO_CACHE_ADAPTER":                         {kind: choice, choices: []string{"", "filesystem", "redis", "memcached"}},
	"REDIS_URL":                                     {kind: dsn, choices: []string{"redis", "rediss", "valkey", "valkeys"}},
	"MEMCACHED_URL":                                 {kind: dsn, choices: []string{"memcached"}},
	"FILESYSTEM_CACHE_PATH":                         {kind: filePath},
	"MOSPARO_USE_SHARED_CACHE_FOR_RULE_ITEMS":       {kind: boolean},
	"MOSPARO_RULE_ITEMS_CACHE_TTL":                  {kind: number, min: 1, unit: "seconds"},
	"MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE":     {kind: truthy},
	"MOSPARO_BYPASS_HEALTH_CHECK":                   {kind: boolean},
	"MOSPARO_HEALTH_ALLOW_LIST":                     {kind: addresses},
	"MOSPARO_CLEANUP_GRACE_PERIOD_ENABLED":          {kind: boolean},
	"MOSPARO_SUBMIT_TOKEN_RETENTION_PERIOD":         {kind: number, min: 1, max: 24, fallback: 24, unit: "hours"},
	"MOSPARO_SUBMISSION_RETENTION_PERIOD":           {kind: number, min: 1, max: 14, fallback: 14, unit: "days"},
	"MOSPARO_CLEANUP_PROCESS_INTERVAL":              {kind: number, min: 1, max: 24, fallback: 6, unit: "hours"},
	"MOSPARO_CLEANUP_UNFINISHED_INTERVAL":           {kind: number, min: 1, max: 360, fallback: 10, unit: "minutes"},
	"MOSPARO_RULE_PACKAGE_ALLOW_PRIVATE_NETWORKS":   {kind: boolean},
	"MOSPARO_RULE_PACKAGE_ALLOW_REDIRECTS":          {kind: boolean},
	"MOSPARO_RULE_PACKAGE_MINIMUM_REFRESH_INTERVAL": {kind: number, min: 60, fallback: 60, unit: "seconds"},
	"MOSPARO_ENABLE_WEBSERVER":                      {kind: choice, choices: []string{"0", "1"}},
	"MOSPARO_ENABLE_CRON":                           {kind: choice, choices: []string{"0", "1"}},
	"MOSPARO_RUN_NGINX":                             {kind: choice, choices: []string{"0", "1"}},
	"MOSPARO_RUN_PHP_FPM":                           {kind: choice, choices: []string{"0", "1"}},
}

// LintEnv finds values of a .env.local, or of the environment, that mosparo would silently misread. Findings are sorted by key.
func LintEnv(values map[string]string) []Finding {
	var found []Finding
	for name, value := range values {
		v, known := variables[name]
		var reason, mend string
		switch {
		case !known:
			if f, ok := lintUnknown(name, value); ok {
				found = append(found, f)
			}
			continue
		case value != strings.TrimSpace(value):
			reason, mend = "blanks around the value are part of it", "remove them"
		case len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0]:
			reason, mend = "the quotes are part of the value", "write it without quotes: mosparoctl adds those that are needed"
		default:
			reason, mend = v.check(name, value)
		}
		if reason != "" {
			found = append(found, Finding{SeverityError, name, reason, mend})
		}
	}
	found = append(found, lintTogether(values)...)
	slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.Key+a.Reason, b.Key+b.Reason) })
	return found
}

// check says what is wrong with value, or "".
func (v variable) check(name, value string) (reason, mend string) {
	switch v.kind {
	case truthy:
		return checkTruthy(value)
	case boolean:
		if !slices.Contains([]string{"", "0", "1", "true", "false", "yes", "no", "on", "off"}, strings.ToLower(value)) {
			return fmt.Sprintf("%q is not a boolean to mosparo", value), "write 1 or 0"
		}
	case number:
		return v.checkNumber(value)
	case addresses:
		return checkAddresses(name, value)
	case choice:
		if !slices.Contains(v.choices, value) {
			return fmt.Sprintf("mosparo does not know %q", value), "write one of " + strings.Join(quoteAll(v.choices), ", ")
		}
	case dsn:
		return v.checkDSN(value)
	case filePath:
		if value != "" && !strings.HasPrefix(value, "/") {
			return "the path is not absolute: it would depend on where PHP was started", "begin it with /"
		}
	}
	return "", ""
}

func quoteAll(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, strconv.Quote(s))
	}
	return out
}

func checkTruthy(value string) (reason, mend string) {
	switch strings.ToLower(value) {
	case "", "0", "1":
		return "", ""
	case "false", "no", "off", "n", "f", "null", "none", "disabled":
		return fmt.Sprintf("%q counts as true: only 0 and an empty value are false here", value), "write 0"
	case "true", "yes", "on":
		return "", ""
	}
	return fmt.Sprintf("%q counts as true: any text but 0 does here", value), "write 1 or 0"
}

func (v variable) checkNumber(value string) (reason, mend string) {
	limits := fmt.Sprintf("write a whole number of %s from %d to %d", v.unit, v.min, v.max)
	if v.max == 0 {
		limits = fmt.Sprintf("write a whole number of %s, at least %d", v.unit, v.min)
	}
	if value == "" {
		return "an empty number makes mosparo fail with HTTP 500", limits + ", or leave the variable out"
	}
	n, err := strconv.Atoi(value)
	if err != nil || strings.HasPrefix(value, "+") {
		return fmt.Sprintf("%q is not a whole number: mosparo fails with HTTP 500", value), limits
	}
	if n < v.min || v.max > 0 && n > v.max {
		if v.fallback == 0 {
			return fmt.Sprintf("%d is out of range", n), limits
		}
		return fmt.Sprintf("%d is out of range: mosparo silently takes %d instead", n, v.fallback), limits
	}
	return "", ""
}

// checkAddresses looks at a comma list of addresses and networks.
func checkAddresses(name, value string) (reason, mend string) {
	if value == "" {
		if name == "MOSPARO_HEALTH_ALLOW_LIST" {
			return "an empty list allows everybody, and mosparo would look the name up in env.mosparo.php first", `write "0.0.0.0/0,::/0" if that is meant`
		}
		return "", ""
	}
	if name == "TRUSTED_PROXIES" && strings.HasPrefix(value, "%") && strings.HasSuffix(value, "%") {
		return "", "" // a reference to a key of env.mosparo.php, as in mosparo's own .env
	}
	for part := range strings.SplitSeq(value, ",") {
		item := strings.TrimSpace(part)
		switch {
		case item == "":
			return "an entry of the list is empty", "remove the extra comma"
		case item != part && name == "MOSPARO_HEALTH_ALLOW_LIST": // the only list that is not trimmed
			return fmt.Sprintf("a blank stands before or after %s: mosparo never matches that entry", item), "separate with commas only"
		case name == "TRUSTED_PROXIES" && (item == "REMOTE_ADDR" || item == "PRIVATE_SUBNETS" || item == "private_ranges"):
		case !isAddress(item):
			return fmt.Sprintf("%q is neither an IP address nor a network: names are not looked up", item), "write addresses or CIDR networks"
		}
	}
	return "", ""
}

func isAddress(s string) bool {
	if _, err := netip.ParsePrefix(s); err == nil {
		return true
	}
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Zone() == ""
}

func (v variable) checkDSN(value string) (reason, mend string) {
	scheme, rest, ok := strings.Cut(value, ":")
	if !ok || !slices.Contains(v.choices, scheme) || rest == "" {
		return "not a URL that mosparo's cache understands", "begin it with " + v.choices[0] + "://"
	}
	if strings.ContainsAny(value, " \t\r\n") {
		return "a blank or new line stands in the URL", "write blanks in a password as %20"
	}
	return "", ""
}
