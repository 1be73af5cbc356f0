package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// source answers questions about settings in mosparo's order of precedence.
type source struct {
	env    func(string) (string, bool) // the real environment
	dotenv map[string]string           // the .env files, merged
	file   *php.Array                  // the configuration file
	errs   []error
}

// variable is an upper-case variable: the real environment, then the .env files, and where these are empty the key of the
// same name in the configuration file.
func (s *source) variable(name string) string {
	v, ok := s.env(name)
	if !ok {
		v = s.dotenv[name]
	}
	if v == "" {
		v = s.key(name)
	}
	return v
}

// set reports whether a variable has a value, be it an empty one, in the real environment or an .env file.
func (s *source) set(name string) bool {
	_, ok := s.env(name)
	if !ok {
		_, ok = s.dotenv[name]
	}
	return ok
}

// key is a key of the configuration file that the environment variable of the same name overrides.
func (s *source) key(name string) string {
	if v, ok := s.env(name); ok && name == strings.ToLower(name) {
		return v
	}
	v, _ := s.file.Get(name)
	t, _ := v.Text()
	return t
}

// or is the first that is not empty.
func or(v, def string) string {
	if v == "" {
		return def
	}
	return v
}

// truthy is PHP's view of a text: only empty and "0" are false, so "false" is true.
func truthy(v string) bool { return php.String(v).Truthy() }

// boolean is a variable that Symfony parses as a boolean: 1, true, on, yes and other numbers than 0.
func (s *source) boolean(name string) bool {
	switch v := strings.ToLower(strings.TrimSpace(s.variable(name))); v {
	case "1", "true", "on", "yes":
		return true
	default:
		n, err := strconv.ParseFloat(v, 64)
		return php.IsNumeric(v) && err == nil && n != 0
	}
}

// number is an integer variable; one that is no number is an error, as it is for PHP.
func (s *source) number(name string, def int64) int64 {
	v := s.variable(name)
	if v == "" {
		return def
	}
	if !php.IsNumeric(v) {
		s.errs = append(s.errs, protection.Errorf(protection.CodeInvalid, "%s: %q is no number", name, v))
		return def
	}
	return php.Intval(v)
}

// bounded is number, where a value out of bounds counts as def.
func (s *source) bounded(name string, def, lowest, highest int64) int64 {
	n := s.number(name, def)
	if n < lowest || n > highest {
		return def
	}
	return n
}

// list splits at commas and line ends. Entries are not trimmed in what mosparo compares as text, so neither here; empty
// ones are left out.
func list(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' })
}

// readFile reads the configuration file; a missing one is as good as empty, as it is for mosparo.
func (s *source) readFile(path string) error {
	s.file = php.NewArray()
	if path == "" {
		return nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return protection.Errorf(protection.CodeInvalid, "configuration file: %w", err)
	}
	v, err := php.ParseExport(string(raw))
	if err != nil {
		return protection.Errorf(protection.CodeInvalid, "configuration file %s: %w", path, err)
	}
	if v.Kind() != php.KindArray {
		return protection.Errorf(protection.CodeInvalid, "configuration file %s: it returns no array", path)
	}
	s.file = v.Array()
	return nil
}

// readDotenv reads the .env files: one that was named, or those of the application's folder, the last having the highest
// precedence: .env, .env.local, .env.<APP_ENV>, .env.<APP_ENV>.local. A compiled .env.local.php replaces them all, unless it
// was compiled for another APP_ENV. As in Symfony, APP_ENV=test leaves .env.local out, and APP_ENV=local ends with it.
func (s *source) readDotenv(named, appDir string) error {
	s.dotenv = map[string]string{}
	if named == "" && appDir != "" {
		if done, err := s.compiledDotenv(filepath.Join(appDir, ".env.local.php")); done || err != nil {
			return err
		}
	}
	if appDir != "" {
		if err := s.readDotenvOf(appDir); err != nil {
			return err
		}
	}
	if named != "" {
		return s.mergeDotenv(named, true)
	}
	return nil
}

func (s *source) readDotenvOf(appDir string) error {
	appEnv := func() string {
		env, ok := s.env("APP_ENV")
		if !ok {
			env = s.dotenv["APP_ENV"]
		}
		return or(env, "prod")
	}
	base := filepath.Join(appDir, ".env")
	if err := s.mergeDotenv(base, false); err != nil {
		return err
	}
	if appEnv() != "test" {
		if err := s.mergeDotenv(base+".local", false); err != nil {
			return err
		}
	}
	env := appEnv()
	if env == "local" {
		return nil
	}
	if err := s.mergeDotenv(base+"."+env, false); err != nil {
		return err
	}
	return s.mergeDotenv(base+"."+env+".local", false)
}

func (s *source) mergeDotenv(path string, must bool) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil
	}
	if err != nil {
		return protection.Errorf(protection.CodeInvalid, "environment file: %w", err)
	}
	values, err := parseDotenv(string(raw), s.env, s.dotenv)
	if err != nil {
		return protection.Errorf(protection.CodeInvalid, "environment file %s: %w", path, err)
	}
	for name, v := range values {
		s.dotenv[name] = v
	}
	return nil
}

func (s *source) compiledDotenv(path string) (bool, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, protection.Errorf(protection.CodeInvalid, "environment file: %w", err)
	}
	v, err := php.ParseExport(string(raw))
	if err != nil {
		return false, protection.Errorf(protection.CodeInvalid, "environment file %s: %w", path, err)
	}
	compiled, _ := v.Get("APP_ENV").Text()
	if env, ok := s.env("APP_ENV"); v.Kind() != php.KindArray || ok && compiled != "" && compiled != env {
		return false, nil
	}
	for k, m := range v.Array().All() {
		s.dotenv[k.String()], _ = m.Text()
	}
	return true, nil
}

// port is a port number with a default.
func port(v string, def int) int {
	n, err := strconv.Atoi(strings.TrimSpace(v))
	if err != nil || n < 1 || n > 65535 {
		return def
	}
	return n
}
