//! Options of `kokanee inspect`.

use clap::{Args, ValueEnum, builder::FalseyValueParser, value_parser};

use super::common::{ColorArgs, ParserArg};

const HELP: &str = "\
Examples:
  # a packet
  kokanee inspect '42/chat,7[\"hello\",{\"a\":1}]'
  # WebSocket frames in hex
  kokanee inspect '81 07 34 32 5b 22 61 22 5d'
  # a long-polling body in a file
  kokanee inspect @body.bin --revision 3
  # lines as browsers show them, one message each
  xclip -o | kokanee inspect -
  # one JSON object for each packet
  kokanee inspect @capture.txt --json | jq

Lines may start with an arrow (> or →: sent by the client, < or ←: sent by the server); # starts a comment.

Exit codes: 0 the input is valid, 1 the input cannot be read, 2 wrong usage, 5 the input is invalid.";

/// Decode captured frames, payloads and packets, and point at errors
///
/// The input is text, hex or bytes: WebSocket frames, the body of a long-polling request, single packets of Engine.IO or
/// Socket.IO, or many lines of those. Its form and the revision of the protocol are detected unless --as and --revision
/// are given.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct InspectArgs {
    /// The input itself, @FILE to read a file, or - to read stdin
    pub(crate) input: Option<String>,

    /// Form of the input
    #[arg(long = "as", value_name = "FORM", value_enum, default_value_t)]
    pub(crate) form: InspectForm,

    /// Revision of the Engine.IO protocol: 3 (Socket.IO 1 and 2) or 4 (since Socket.IO 3); detected by default
    #[arg(short, long, value_parser = value_parser!(u8).range(3..=4))]
    pub(crate) revision: Option<u8>,

    /// How Socket.IO packets are encoded
    #[arg(long, env = "KOKANEE_PARSER", value_enum, default_value = "both")]
    pub(crate) parser: ParserArg,

    /// Show Engine.IO messages without decoding them as Socket.IO packets
    #[arg(long)]
    pub(crate) engine_io: bool,

    /// Print JSON, one object per packet; binary data is `{"_binary": "<base64>"}`
    #[arg(long, env = "KOKANEE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) color: ColorArgs,
}

/// The form of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum InspectForm {
    /// Detect the form
    #[default]
    Auto,
    /// WebSocket frames, as bytes or hex
    Frame,
    /// The body of a long-polling request or response
    Payload,
    /// One Engine.IO packet, such as the content of a text frame
    Packet,
    /// One Socket.IO packet: text, or msgpack as bytes or hex
    Message,
    /// Many lines, each a packet, a payload or frames in hex
    Lines,
}
