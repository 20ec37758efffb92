//! What works with every server: socket.io 4, 3 and 2, python-socketio, Flask-SocketIO, and the server of this project, each
//! over polling, over WebSocket, and over the one after the other.

use kokanee_client::{ParserKind, Revision};
use kokanee_client_interop::{Kind, KokaneeServer, Program};

use crate::{
    cases,
    support::{Server, Way, revision},
};

async fn program(kind: Kind, parser: ParserKind, way: Way) {
    let options: &[&str] = match parser {
        ParserKind::Msgpack => &["--msgpack"],
        _ => &[],
    };
    let program = Program::start(kind, options, 0).await;
    let server = Server {
        port: program.port(),
        revision: revision(kind),
        parser,
    };
    cases::run(&server, way).await;
    program.stop().await;
}

async fn kokanee(revision: Revision, parser: ParserKind, way: Way) {
    let builder = kokanee_server::Server::builder()
        .allow_eio3(true)
        .parser(parser);
    let kokanee = KokaneeServer::start(builder, 0).await;
    let server = Server {
        port: kokanee.port(),
        revision,
        parser,
    };
    cases::run(&server, way).await;
    kokanee.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_4_over_polling() {
    program(Kind::SocketIo4, ParserKind::Default, Way::Polling).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_4_over_websocket() {
    program(Kind::SocketIo4, ParserKind::Default, Way::WebSocket).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_4_over_an_upgrade() {
    program(Kind::SocketIo4, ParserKind::Default, Way::Upgrade).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_4_with_msgpack_over_polling() {
    program(Kind::SocketIo4, ParserKind::Msgpack, Way::Polling).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_4_with_msgpack_over_an_upgrade() {
    program(Kind::SocketIo4, ParserKind::Msgpack, Way::Upgrade).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_2_over_polling() {
    program(Kind::SocketIo2, ParserKind::Default, Way::Polling).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_2_over_websocket() {
    program(Kind::SocketIo2, ParserKind::Default, Way::WebSocket).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_2_over_an_upgrade() {
    program(Kind::SocketIo2, ParserKind::Default, Way::Upgrade).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn python_over_polling() {
    program(Kind::Python, ParserKind::Default, Way::Polling).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn python_over_websocket() {
    program(Kind::Python, ParserKind::Default, Way::WebSocket).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn python_over_an_upgrade() {
    program(Kind::Python, ParserKind::Default, Way::Upgrade).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn python_with_msgpack_over_websocket() {
    program(Kind::Python, ParserKind::Msgpack, Way::WebSocket).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_3_over_polling() {
    program(Kind::SocketIo3, ParserKind::Default, Way::Polling).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_3_over_websocket() {
    program(Kind::SocketIo3, ParserKind::Default, Way::WebSocket).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn socket_io_3_over_an_upgrade() {
    program(Kind::SocketIo3, ParserKind::Default, Way::Upgrade).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn flask_over_polling() {
    program(Kind::Flask, ParserKind::Default, Way::Polling).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn flask_over_websocket() {
    program(Kind::Flask, ParserKind::Default, Way::WebSocket).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn flask_over_an_upgrade() {
    program(Kind::Flask, ParserKind::Default, Way::Upgrade).await;
}

#[tokio::test]
async fn kokanee_over_polling() {
    kokanee(Revision::V4, ParserKind::Default, Way::Polling).await;
}

#[tokio::test]
async fn kokanee_over_websocket() {
    kokanee(Revision::V4, ParserKind::Default, Way::WebSocket).await;
}

#[tokio::test]
async fn kokanee_over_an_upgrade() {
    kokanee(Revision::V4, ParserKind::Default, Way::Upgrade).await;
}

#[tokio::test]
async fn kokanee_with_msgpack_over_an_upgrade() {
    kokanee(Revision::V4, ParserKind::Msgpack, Way::Upgrade).await;
}

#[tokio::test]
async fn kokanee_with_revision_3_over_polling() {
    kokanee(Revision::V3, ParserKind::Default, Way::Polling).await;
}

#[tokio::test]
async fn kokanee_with_revision_3_over_an_upgrade() {
    kokanee(Revision::V3, ParserKind::Default, Way::Upgrade).await;
}
