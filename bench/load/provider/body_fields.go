package main

import "bytes"

// The fields that control a response are before or after the prompt, so only the ends of a large
// body are read. A prompt of a megabyte costs the provider almost nothing.
const endBytes = 1024

type bodyFields struct {
	stream, withUsage, unavailable bool
	maxTokens                      int
}

func readBody(body []byte) bodyFields {
	head, tail := body, []byte(nil)
	if len(body) > 2*endBytes {
		head, tail = body[:endBytes], body[len(body)-endBytes:]
	}
	isTrue := func(name string) bool {
		return bytes.HasPrefix(valueOf(head, name), []byte("true")) || bytes.HasPrefix(valueOf(tail, name), []byte("true"))
	}
	result := bodyFields{stream: isTrue(`"stream"`), withUsage: isTrue(`"include_usage"`), maxTokens: -1}
	result.unavailable = bytes.HasPrefix(valueOf(head, `"model"`), []byte(`"unavailable"`))
	for _, name := range []string{`"max_tokens"`, `"max_completion_tokens"`} {
		for _, part := range [][]byte{head, tail} {
			if number, ok := leadingNumber(valueOf(part, name)); ok {
				result.maxTokens = number
			}
		}
	}
	return result
}

// valueOf returns the bytes after the key and its colon, or nothing without the key.
func valueOf(part []byte, key string) []byte {
	at := bytes.Index(part, []byte(key))
	if at < 0 {
		return nil
	}
	rest := bytes.TrimLeft(part[at+len(key):], " \t\r\n")
	if len(rest) == 0 || rest[0] != ':' {
		return nil
	}
	return bytes.TrimLeft(rest[1:], " \t\r\n")
}

func leadingNumber(part []byte) (int, bool) {
	number, digits := 0, 0
	for digits < len(part) && digits < 9 && part[digits] >= '0' && part[digits] <= '9' {
		number = number*10 + int(part[digits]-'0')
		digits++
	}
	return number, digits > 0
}
