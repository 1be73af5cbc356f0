package health

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
)

// sapi is one of the ways PHP runs on a node: each has its own settings.
type sapi struct {
	name       string // "cli" or "fpm"
	version    string
	extensions []string // lower case, sorted
	timezone   string   // date.timezone; "" if unset: PHP takes UTC then
	validates  bool     // opcache.validate_timestamps, or no OPcache
}

// phpFacts is PHP on a node. Settings that a single FPM pool or a web server overrides are not seen.
type phpFacts struct {
	cli sapi
	fpm *sapi // nil where no php-fpm command was found
}

// all lists the SAPIs that were found.
func (p phpFacts) all() []sapi {
	if p.fpm == nil {
		return []sapi{p.cli}
	}
	return []sapi{p.cli, *p.fpm}
}

// cliScript prints what is asked of the CLI as JSON.
const cliScript = `echo json_encode(["version" => PHP_VERSION, "extensions" => get_loaded_extensions(), "timezone" => (string)ini_get("date.timezone")]);`

// fpmScript prints the modules and the settings of php-fpm, of the version that the arguments say first.
const fpmScript = `for b in "$@"; do
	for d in '' /usr/sbin/ /usr/local/sbin/; do
		if command -v "$d$b" >/dev/null 2>&1; then
			"$d$b" -m && echo '[settings]' && "$d$b" -i
			exit
		fi
	done
done`

var fpmVersion = regexp.MustCompile(`php-?(?:fpm)?-?([0-9]\.[0-9])`)

// phpOf reads the facts of PHP.
func (n *node) phpOf(ctx context.Context) (phpFacts, error) {
	return n.php.get(ctx, func(ctx context.Context) (phpFacts, error) {
		var p phpFacts
		if err := n.mosparo(ctx); err != nil {
			return p, err
		}
		command := n.PHP.Command
		if len(command) == 0 {
			command = []string{"php"}
		}
		out, err := n.output(ctx, append(slices.Clone(command), "-r", cliScript)...)
		var exit *ops.ExitError
		if errors.As(err, &exit) && exit.Status == 127 {
			return p, failf("set php: command: in the inventory, or install php-cli", "there is no command %s", command[0])
		}
		if err != nil {
			return p, err
		}
		var reply struct {
			Version    string   `json:"version"`
			Extensions []string `json:"extensions"`
			Timezone   string   `json:"timezone"`
		}
		if err := json.Unmarshal(out, &reply); err != nil {
			return p, fmt.Errorf("read the answer of php: %w", err)
		}
		p.cli = sapi{name: "cli", version: reply.Version, extensions: normal(reply.Extensions), timezone: reply.Timezone, validates: true}
		var binaries []string
		if m := fpmVersion.FindStringSubmatch(strings.Join(n.PHP.Reload, " ")); m != nil {
			binaries = append(binaries, "php-fpm"+m[1])
		}
		binaries = append(binaries, "php-fpm"+branch(reply.Version), "php-fpm")
		out, err = n.output(ctx, append([]string{"sh", "-c", fpmScript, "sh"}, binaries...)...)
		if err == nil && len(out) > 0 {
			fpm := parseFPM(string(out))
			p.fpm = &fpm
		}
		return p, nil
	})
}

func normal(extensions []string) []string {
	list := make([]string, len(extensions))
	for i, e := range extensions {
		list[i] = strings.ToLower(e)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// parseFPM reads what fpmScript prints.
func parseFPM(out string) sapi {
	s := sapi{name: "fpm", validates: true}
	modules, settings, _ := strings.Cut(out, "[settings]\n")
	var extensions []string
	for line := range strings.Lines(modules) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "[") {
			extensions = append(extensions, line)
		}
	}
	s.extensions = normal(extensions)
	for line := range strings.Lines(settings) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " => ")
		value, _, _ = strings.Cut(value, " => ") // the local value; the master value follows
		switch key {
		case "PHP Version":
			s.version = cmp.Or(s.version, value)
		case "date.timezone":
			if value != "no value" {
				s.timezone = value
			}
		case "opcache.validate_timestamps":
			s.validates = value == "On" || value == "1"
		}
	}
	return s
}

// phpVersion compares PHP's versions.
func phpVersion() Check {
	return question[phpFacts]{
		Info: Info{
			Name: "php-version", Family: FamilyPHP,
			Title: "Is it the same PHP on every node, on the command line and in FPM?",
			Why:   "Another version may lack what the code needs, and cron jobs would run otherwise than the pages do.",
			Mend:  "install the same PHP packages on all nodes",
		},
		ask: func(ctx context.Context, n *node) (phpFacts, error) { return n.phpOf(ctx) },
		judge: func(_ context.Context, v *verdicts, answers []answer[phpFacts]) {
			ref := reference(answers, func(p phpFacts) string { return branch(p.cli.version) })
			for _, a := range answers {
				p := a.value
				switch {
				case branch(p.cli.version) != branch(ref.value.cli.version):
					v.warn(a.node, "", "PHP %s, %s has %s", p.cli.version, ref.node.Name, ref.value.cli.version)
				case p.fpm != nil && branch(p.fpm.version) != branch(p.cli.version):
					v.warn(a.node, "", "PHP %s on the command line and %s in FPM", p.cli.version, p.fpm.version)
				default:
					v.ok(a.node, "PHP %s", p.cli.version)
				}
			}
			v.allOK("PHP %s on all %d nodes", branch(ref.value.cli.version), len(answers))
		},
	}
}

// branch is the first two numbers of a version: what is compatible changes with those.
func branch(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// requiredExtensions are what mosparo needs on every node; the database's and the cache's come on top.
var requiredExtensions = [...]string{"gd", "intl", "sodium", "zip"}

// extensionFacts is PHP with what this node's configuration needs of it.
type extensionFacts struct {
	phpFacts
	needed []string
}

// phpExtensions looks for what is missing, and for igbinary on some nodes only.
func phpExtensions() Check {
	return question[extensionFacts]{
		Info: Info{
			Name: "php-extensions", Family: FamilyPHP,
			Title: "Has PHP the extensions mosparo needs, and igbinary everywhere or nowhere?",
			Why: "With igbinary on some nodes only, the others can't read what those wrote to the shared cache: cleanups repeat and the " +
				"CSS redirects for ever.",
			Mend: "install the extension for every PHP",
		},
		ask: func(ctx context.Context, n *node) (extensionFacts, error) {
			p, err := n.phpOf(ctx)
			if err != nil {
				return extensionFacts{}, err
			}
			f := extensionFacts{phpFacts: p, needed: slices.Clone(requiredExtensions[:])}
			c, err := n.configuration(ctx)
			if err != nil {
				return f, err
			}
			f.needed = append(f.needed, cmp.Or(c.Text("database_driver"), "pdo_mysql"))
			if adapter, err := n.setting(ctx, "MOSPARO_CACHE_ADAPTER"); err == nil && adapter == "memcached" {
				f.needed = append(f.needed, "memcached") // redis has a substitute in PHP
			}
			return f, nil
		},
		judge: judgeExtensions,
	}
}

// debianPackage is the package that has a PHP extension, by the names of Debian and Ubuntu.
func debianPackage(extension string) string {
	switch extension {
	case "pdo_mysql":
		return "php-mysql"
	case "pdo_pgsql":
		return "php-pgsql"
	case "pdo_sqlite":
		return "php-sqlite3"
	case "sodium":
		return "php-cli" // which brings the common package that has it
	}
	return "php-" + extension
}

func judgeExtensions(_ context.Context, v *verdicts, answers []answer[extensionFacts]) {
	with := map[bool][]string{} // has igbinary -> "node (sapi)"
	for _, a := range answers {
		for _, s := range a.value.all() {
			has := slices.Contains(s.extensions, "igbinary")
			with[has] = append(with[has], a.node.Name+" ("+s.name+")")
		}
	}
	mixed := len(with[true]) > 0 && len(with[false]) > 0
	minority := len(with[true]) <= len(with[false])
	for _, a := range answers {
		missing, odd := "", ""
		for _, s := range a.value.all() {
			for _, e := range a.value.needed {
				if !slices.Contains(s.extensions, e) && missing == "" {
					missing = fmt.Sprintf("PHP %s lacks %s", s.name, e)
				}
			}
			if has := slices.Contains(s.extensions, "igbinary"); mixed && has == minority {
				odd = fmt.Sprintf("PHP %s has igbinary, %s has not", s.name, list(with[false], 3))
				if !has {
					odd = fmt.Sprintf("PHP %s lacks igbinary, %s has it", s.name, list(with[true], 3))
				}
			}
		}
		switch {
		case missing != "":
			v.fail(a.node, a.node.exec("apt-get", "install", "-y", debianPackage(missing[strings.LastIndexByte(missing, ' ')+1:])), "%s", missing)
		case odd != "":
			v.fail(a.node, "install igbinary for every PHP, or remove it from all", "%s", odd)
		default:
			v.ok(a.node, "%d extensions", len(a.value.cli.extensions))
		}
	}
}

// phpTimezone compares date.timezone.
func phpTimezone() Check {
	return question[phpFacts]{
		Info: Info{
			Name: "php-timezone", Family: FamilyPHP,
			Title: "Does PHP use the same time zone everywhere?",
			Why: "mosparo writes times without their zone: where zones differ, tokens look expired or young, cleanups delete early or " +
				"late, and the statistics of a day are split.",
			Mend: "set date.timezone to the same zone in every php.ini, of CLI and FPM",
		},
		ask: func(ctx context.Context, n *node) (phpFacts, error) { return n.phpOf(ctx) },
		judge: func(_ context.Context, v *verdicts, answers []answer[phpFacts]) {
			zone := func(s sapi) string { return cmp.Or(s.timezone, "UTC") }
			ref := reference(answers, func(p phpFacts) string { return zone(p.cli) })
			for _, a := range answers {
				odd := ""
				for _, s := range a.value.all() {
					if zone(s) != zone(ref.value.cli) {
						odd = fmt.Sprintf("PHP %s is in %s, that of %s in %s", s.name, zone(s), ref.node.Name, zone(ref.value.cli))
					}
				}
				if odd != "" {
					v.fail(a.node, "", "%s", odd)
					continue
				}
				v.ok(a.node, "%s", zone(a.value.cli))
			}
			v.allOK("%s everywhere", zone(ref.value.cli))
		},
	}
}

// phpOPcache looks whether new files take effect.
func phpOPcache() Check {
	return question[phpFacts]{
		Info: Info{
			Name: "php-opcache", Family: FamilyPHP,
			Title: "Do new files take effect in PHP-FPM?",
			Why:   "Where OPcache does not look at the time of files, a deploy or a synchronised configuration is not seen until FPM is reloaded.",
			Mend:  "set php: reload: in the inventory, such as [systemctl, reload, php8.2-fpm]",
		},
		ask: func(ctx context.Context, n *node) (phpFacts, error) {
			p, err := n.phpOf(ctx)
			if err == nil && p.fpm == nil {
				err = errNotConcerned
			}
			return p, err
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[phpFacts]) {
			for _, a := range answers {
				switch {
				case a.value.fpm.validates:
					v.ok(a.node, "OPcache looks at the time of files")
				case len(a.node.PHP.Reload) > 0:
					v.ok(a.node, "OPcache does not look at files; the inventory says how to reload FPM")
				default:
					v.fail(a.node, "", "opcache.validate_timestamps is off and the inventory has no command to reload FPM")
				}
			}
		},
	}
}
