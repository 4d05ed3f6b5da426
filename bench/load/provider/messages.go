package main

import "strconv"

const (
	messageIdentity = `"id":"msg_bench0001","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929"`
	deltaStart      = "event: content_block_delta\ndata: " + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"`
)

// message returns a whole message of Anthropic's API.
func (p plan) message() []byte {
	out := append(make([]byte, 0, 512+8*p.chunks), `{`+messageIdentity+`,"content":[{"type":"text","text":"`...)
	for i := range p.chunks {
		out = append(out, words[i%len(words)]...)
	}
	out = append(append(out, `"}],"stop_reason":"`+p.stopReason()+`","stop_sequence":null,`...), p.messageUsage(p.chunks)...)
	return append(out, '}')
}

// messageStart appends the events before the first word.
func (p plan) messageStart(line []byte) []byte {
	line = append(line, "event: message_start\ndata: "+`{"type":"message_start","message":{`+messageIdentity+`,"content":[],"stop_reason":null,"stop_sequence":null,`...)
	line = append(append(line, p.messageUsage(1)...), "}}\n\n"...)
	line = append(line, "event: content_block_start\ndata: "+`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`+"\n\n"...)
	return append(line, "event: ping\ndata: {\"type\":\"ping\"}\n\n"...)
}

// event appends the event with one word.
func (p plan) event(line []byte, i int) []byte {
	line = append(append(line, deltaStart...), words[i%len(words)]...)
	return append(line, "\"}}\n\n"...)
}

// messageEnd appends the events after the last word.
func (p plan) messageEnd(line []byte) []byte {
	line = append(line, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"...)
	line = append(line, "event: message_delta\ndata: "+`{"type":"message_delta","delta":{"stop_reason":"`+p.stopReason()+`","stop_sequence":null},`...)
	line = append(append(line, p.messageUsage(p.chunks)...), "}\n\n"...)
	return append(line, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}

func (p plan) messageUsage(output int) []byte {
	out := strconv.AppendInt([]byte(`"usage":{"input_tokens":`), int64(p.promptTokens), 10)
	out = append(out, `,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":`...)
	return append(strconv.AppendInt(out, int64(output), 10), '}')
}

func (p plan) stopReason() string {
	if p.finish == "length" {
		return "max_tokens"
	}
	return "end_turn"
}
