package php

import "fmt"

// Unmarshal reads a value from mosparo's cache, in whichever form the PHP process that wrote it had at hand: serialize or
// igbinary, told apart as PHP's reader tells them apart.
func Unmarshal(s string) (Value, error) {
	switch {
	case s == "":
		return Null, fmt.Errorf("%w: nothing", errSerialized)
	case len(s) == 1 || s[1] == ':' || s == "N;":
		return Unserialize(s)
	}
	return DecodeIgbinary(s)
}
