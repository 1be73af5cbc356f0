package envfile

import (
	"fmt"
	"slices"
	"strings"
)

// configKeys are the keys of env.mosparo.php that mosparo 1.5 knows. Lower-case ones may be overridden by an environment
// variable of the same lower-case name.
var configKeys = map[string]Kind{
	"mosparo_installed": Bool, "mosparo_installed_version": String, "mosparo_assets_version": String,
	"mosparo_finalize_update": Bool, "mosparo_name": String, "encryption_key": String, "secret": String,
	"database_system": String, "database_driver": String, "database_host": String, "database_port": Int,
	"database_name": String, "database_user": String, "database_password": String, "database_version": String,
	"database_path": String, "default_locale": String, "default_date_format": String, "default_time_format": String,
	"default_timezone": String, "default_color_mode": String, "default_number_of_items_per_page": Int,
	"mailer_transport": String, "mailer_host": String, "mailer_port": Int, "mailer_user": String,
	"mailer_password": String, "mailer_from_address": String, "mailer_from_name": String, "mailer_dsn": String,
	"mailer_encryption": String, "login_throttling_ui_limit": Int, "login_throttling_ip_limit": Int, "login_throttling_interval": String,
	"login_throttling_interval_numeric": Int, "trusted_proxies": String, "trusted_proxies_include_remote_addr": Bool,
	"default_trusted_proxies": String, "replace_forwarded_for_header": String, "replace_forwarded_proto_header": String,
	"backend_access_ip_allow_list": String, "api_access_ip_allow_list": String, "web_cron_job_access_ip_allow_list": String,
	"webCronJobActive": Bool, "webCronJobSecretKey": String, "webCronJobInterval": Int, "geoIp2RefreshInterval": Int,
	"geoipActive": Bool, "geoipAccountId": String, "geoipLicenseKey": String, "updateChannel": String,
}

// lintUnknown looks at a name that is no variable of mosparo's. Names that are nobody's of ours are let through.
func lintUnknown(name, value string) (Finding, bool) {
	upper, lower := strings.ToUpper(name), strings.ToLower(name)
	if _, ok := variables[upper]; ok {
		return Finding{SeverityError, name, "names count by case: mosparo does not see it", "write " + upper}, true
	}
	if _, ok := configKeys[name]; ok {
		if name != lower {
			return Finding{SeverityError, name, "this key is read from env.mosparo.php only: here it has no effect",
				"set it in mosparo's administration"}, true
		}
		if reason, mend := checkConfig(name, StringValue(value)); reason != "" {
			return Finding{SeverityError, name, reason, mend}, true
		}
		return Finding{}, false
	}
	if _, ok := configKeys[lower]; ok {
		return Finding{SeverityError, name, "names count by case: in capitals it has no effect", "write " + lower}, true
	}
	if strings.HasPrefix(upper, "MOSPARO_") || strings.HasPrefix(upper, "DATABASE_MYSQL_") {
		mend := "check the spelling"
		if near := nearest(upper); near != "" {
			mend = "perhaps " + near + " is meant"
		}
		return Finding{SeverityWarning, name, "mosparo 1.5 knows no such variable", mend}, true
	}
	return Finding{}, false
}

// nearest is the variable whose name takes the fewest edits, if they are few.
func nearest(name string) string {
	best, least := "", 5
	for known := range variables {
		if d := editDistance(name, known); d < least || d == least && best != "" && known < best {
			best, least = known, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// lintTogether finds values that don't go together.
func lintTogether(values map[string]string) []Finding {
	var found []Finding
	add := func(key, reason, mend string) {
		found = append(found, Finding{SeverityWarning, key, reason, mend})
	}
	on := func(name string) bool { return StringValue(values[name]).Truth() }
	adapter := values["MOSPARO_CACHE_ADAPTER"]
	for name, needs := range map[string]string{"REDIS_URL": "redis", "MEMCACHED_URL": "memcached"} {
		if values[name] != "" && adapter != needs {
			add(name, fmt.Sprintf("it is not used: MOSPARO_CACHE_ADAPTER is %q", adapter), "set MOSPARO_CACHE_ADAPTER="+needs)
		}
		if values[name] == "" && adapter == needs {
			add("MOSPARO_CACHE_ADAPTER", "without "+name+" mosparo takes a server on this very node", "set "+name)
		}
	}
	if url := values["REDIS_URL"]; url != "" && adapter == "redis" && !strings.Contains(url, "lazy=1") {
		add("REDIS_URL", "when redis is down every request fails: the connection is not lazy", "add ?lazy=1 to the URL")
	}
	if on("DATABASE_MYSQL_SSL") && values["DATABASE_MYSQL_SSL_KEY"]+values["DATABASE_MYSQL_SSL_CERT"]+values["DATABASE_MYSQL_SSL_CA"] == "" {
		add("DATABASE_MYSQL_SSL", "without a key, certificate or CA file the connection stays unencrypted", "set DATABASE_MYSQL_SSL_CA")
	}
	if on("DATABASE_MYSQL_SSL") && !on("DATABASE_MYSQL_SSL_VERIFY_SERVER_CERT") {
		add("DATABASE_MYSQL_SSL_VERIFY_SERVER_CERT", "the server's certificate is not verified", "set it to 1")
	}
	if env, ok := values["APP_ENV"]; ok && env != "prod" {
		add("APP_ENV", "anything but prod shows debug output to visitors", "set it to prod or leave it out")
	}
	return found
}

// LintConfig finds values of env.mosparo.php that mosparo would misread, or that leave a node open.
func LintConfig(c *Config) []Finding {
	var found []Finding
	for _, e := range c.entries {
		if v, ok := variables[e.Key]; ok { // upper-case names work here where .env leaves them empty
			if reason, mend := v.check(e.Key, e.Value.Text()); reason != "" {
				found = append(found, Finding{SeverityError, e.Key, reason, mend})
			}
			continue
		}
		if reason, mend := checkConfig(e.Key, e.Value); reason != "" {
			found = append(found, Finding{SeverityError, e.Key, reason, mend})
		}
	}
	if v, _ := c.Get("mosparo_installed"); !v.Truth() {
		found = append(found, Finding{SeverityError, "mosparo_installed", "mosparo takes itself for not installed: any visitor may start the installer",
			"run mosparo's setup first"})
	}
	if c.Text("encryption_key") == "" {
		found = append(found, Finding{SeverityError, "encryption_key", "without it no encrypted data can be read", "restore it from a backup"})
	}
	slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.Key, b.Key) })
	return found
}

// checkConfig looks at one value of env.mosparo.php.
func checkConfig(key string, v Value) (reason, mend string) {
	s := v.Text()
	switch key {
	case "encryption_key", "secret":
		if len(s) != 64 || strings.Trim(strings.ToLower(s), "0123456789abcdef") != "" {
			return "it must be 64 hex digits", "restore it from a backup"
		}
	case "mosparo_name":
		if strings.Contains(s, ":") {
			return "a colon breaks two-factor login", "choose a name without a colon"
		}
	case "database_port", "mailer_port":
		if v.Kind() == String && s != "" && strings.Trim(s, "0123456789") != "" {
			return "not a port number: PHP reads the digits it begins with", "write digits only"
		}
	case "replace_forwarded_proto_header":
		if s != "" {
			return "mosparo 1.5 looks for another name: it has no effect", "have the balancer send X-Forwarded-Proto"
		}
	case "trusted_proxies":
		return checkAddresses("TRUSTED_PROXIES", s)
	case "backend_access_ip_allow_list", "api_access_ip_allow_list", "web_cron_job_access_ip_allow_list":
		return checkAddresses(key, s)
	}
	if configKeys[key] == Bool && v.Kind() == String && slices.Contains([]string{"false", "no", "off"}, strings.ToLower(s)) {
		return fmt.Sprintf("the text %q counts as true", s), "write false without quotes"
	}
	return "", ""
}
