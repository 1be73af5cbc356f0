package cache

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// The flags of ext-memcached beside the type, whose 0 means a string.
const (
	flagType       = 0x0f
	flagCompressed = 0x10
	flagZlib       = 0x20
	flagFastLZ     = 0x40
	flagZstd       = 0x80
)

// maxValue bounds an uncompressed value, in bytes.
const maxValue = 64 << 20

var errCompressed = errors.New("the compressed value is broken")

// uncompress gives the value as PHP's client stored it: plain, or four bytes of its length and a compressed stream.
func uncompress(flags uint32, raw []byte) (string, error) {
	if flags&flagType != 0 {
		return "", fmt.Errorf("the value is no string (flags %d)", flags)
	}
	if flags&flagCompressed == 0 {
		return string(raw), nil
	}
	if len(raw) < 4 {
		return "", errCompressed
	}
	size := int(binary.LittleEndian.Uint32(raw))
	if size > maxValue {
		return "", fmt.Errorf("the value has %d bytes, more than %d", size, maxValue)
	}
	var out []byte
	var err error
	switch body := raw[4:]; {
	case flags&flagFastLZ != 0:
		out, err = fastLZ(body, size)
	case flags&flagZstd != 0:
		out, err = unzstd(body, size)
	default:
		out, err = inflate(body, size)
	}
	if err == nil && len(out) != size {
		err = errCompressed
	}
	return string(out), err
}

func inflate(body []byte, size int) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, int64(size)+1))
}

func unzstd(body []byte, size int) ([]byte, error) {
	r, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxValue))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, int64(size)+1))
}

// The distance beyond which level 2 of FastLZ needs two more bytes.
const fastLZFar = 8191

// fastLZ decompresses levels 1 and 2 of FastLZ to at most size bytes. The level is in the first three bits.
func fastLZ(in []byte, size int) ([]byte, error) {
	if len(in) == 0 {
		return nil, errCompressed
	}
	level := in[0]>>5 + 1
	if level > 2 {
		return nil, errCompressed
	}
	out := make([]byte, 0, min(size, 64*len(in)))
	for i, first := 0, true; i < len(in); first = false {
		ctrl := int(in[i])
		i++
		if first {
			ctrl &= 31
		}
		if ctrl < 32 {
			n := ctrl + 1
			if n > len(in)-i || n > size-len(out) {
				return nil, errCompressed
			}
			out = append(out, in[i:i+n]...)
			i += n
			continue
		}
		n, distance, used := fastLZMatch(ctrl, in[i:], level)
		if used == 0 || distance > len(out) || n > size-len(out) {
			return nil, errCompressed
		}
		i += used
		for from := len(out) - distance; n > 0; n-- {
			out = append(out, out[from])
			from++
		}
	}
	return out, nil
}

// fastLZMatch reads the length and distance of a copy, and how many bytes they took; 0 if they are cut off.
func fastLZMatch(ctrl int, in []byte, level byte) (n, distance, used int) {
	next := func() int {
		if used < 0 || used >= len(in) {
			used = -1
			return 0
		}
		used++
		return int(in[used-1])
	}
	n = ctrl>>5 - 1
	high := ctrl & 31 << 8
	if n == 6 {
		for {
			more := next()
			n += more
			if level == 1 || more != 255 {
				break
			}
		}
	}
	low := next()
	distance = high + low + 1
	if level == 2 && low == 255 && high == 31<<8 {
		distance = next()<<8 + fastLZFar + 1
		distance += next()
	}
	return n + 3, distance, max(used, 0)
}
