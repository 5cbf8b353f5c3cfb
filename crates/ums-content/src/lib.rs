//! Content of messages: text from HTML, header guard.
