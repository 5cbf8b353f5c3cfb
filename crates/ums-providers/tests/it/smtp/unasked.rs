//! What a server says before it is asked: never read as the answer to what is said next.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A server that says something unasked on its first connection after a message, on cue or with its reply to the final dot. It is made of
/// blocking calls on a thread: the client's runtime does not run between its word and the next message, so it has not noticed anything.
struct Chatterer {
    port: u16,
    /// The number of the connection of each MAIL.
    mails: Receiver<usize>,
    speak: Sender<()>,
    spoken: Receiver<()>,
}

struct Manner {
    unasked: &'static [u8],
    with_the_reply: bool,
    tls: bool,
}

impl Chatterer {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, mails) = channel();
        let (speak, cue) = channel();
        let (said, spoken) = channel();
        std::thread::spawn(move || {
            let mut talk = Some((cue, said));
            for (number, tcp) in listener.incoming().enumerate() {
                let (manner, told, talk) = (manner.clone(), told.clone(), talk.take());
                // A client that goes away ends its connection.
                std::thread::spawn(move || serve(tcp.unwrap(), number, &manner, &told, talk.as_ref()).unwrap_or_default());
            }
        });
        Self {
            port,
            mails,
            speak,
            spoken,
        }
    }
}

impl Clone for Manner {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

fn serve(
    tcp: TcpStream,
    number: usize,
    manner: &Manner,
    told: &Sender<usize>,
    talk: Option<&(Receiver<()>, Sender<()>)>,
) -> std::io::Result<()> {
    // Else the word waits in this kernel for an acknowledgement of the reply before it.
    tcp.set_nodelay(true)?;
    let stream: Box<dyn Stream> = if manner.tls {
        let session = rustls::ServerConnection::new(Arc::new(server_tls("right-host"))).unwrap();
        Box::new(rustls::StreamOwned::new(session, tcp))
    } else {
        Box::new(tcp)
    };
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"220 mx.example\r\n")?;
    let (mut line, mut in_body) = (String::new(), false);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let reply = match line.trim_end() {
            "." => "250 queued\r\n",
            _ if in_body => continue,
            "DATA" => "354 go\r\n",
            _ => "250 ok\r\n",
        };
        if line.starts_with("MAIL") {
            told.send(number).unwrap();
        }
        let is_end = in_body;
        in_body = reply.starts_with("354");
        let Some((cue, said)) = talk.filter(|_| is_end) else {
            stream.get_mut().write_all(reply.as_bytes())?;
            continue;
        };
        if manner.with_the_reply {
            stream.get_mut().write_all(&[reply.as_bytes(), manner.unasked].concat())?;
            cue.recv().unwrap();
        } else {
            stream.get_mut().write_all(reply.as_bytes())?;
            cue.recv().unwrap();
            stream.get_mut().write_all(manner.unasked)?;
        }
        said.send(()).unwrap();
    }
}

#[tokio::test]
async fn a_connection_on_which_something_was_said_unasked_carries_no_message() {
    let words = [&b"250 ok\r\n"[..], b"2", b"250-ok\r\n", b"421 4.4.2 bye\r\n", b"\r\n"];
    for (unasked, with_the_reply, tls) in words
        .iter()
        .flat_map(|word| [(false, false), (true, false), (false, true), (true, true)].map(|(with, tls)| (*word, with, tls)))
    {
        let server = Chatterer::start(Manner {
            unasked,
            with_the_reply,
            tls,
        });
        let mut settings = settings(server.port);
        settings.login = None;
        if tls {
            "localhost".clone_into(&mut settings.host);
            settings.tls = SmtpTls::Implicit;
            settings.extra_ca_pem = Some(fixture("ca.pem"));
        }
        let smtp = smtp(settings);
        let case = format!(
            "{:?} with the reply: {with_the_reply}, TLS: {tls}",
            String::from_utf8_lossy(unasked)
        );
        smtp.send(&email(), &call())
            .await
            .unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
        // Blocks this thread, and the runtime with it.
        server.speak.send(()).unwrap();
        server.spoken.recv().unwrap();
        smtp.send(&email(), &call())
            .await
            .unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
        assert_eq!(server.mails.try_iter().collect::<Vec<_>>(), [0, 1], "{case}");
    }
}
