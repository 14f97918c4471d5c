//! An answer that is worked out elsewhere: by a future on another thread, while the command that
//! wants it waits and its worker goes on.
//!
//! The handler makes an [`Answer`] and waits for it ([`crate::blocking::Meanwhile`]); when it is there
//! the command runs again and takes it. The future runs to its end even if the client goes: what has
//! been asked of others has been asked.

use crate::commands::error::ReplyError;
use dunlin_protocol::Reply;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The thread that works it out is gone.
const NOBODY: ReplyError = ReplyError::new("ERR There is nobody left to answer");

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// `+OK`
    Ok,
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
}

impl Word {
    /// Writes it.
    pub fn write(&self, reply: &mut Reply) {
        match self {
            Word::Ok => reply.ok(),
            Word::Int(number) => reply.int(*number),
            Word::Text(text) => reply.bulk(text.as_bytes()),
        }
    }
}

type Said = Result<Word, ReplyError>;

/// An answer that comes later.
#[derive(Debug)]
pub struct Answer {
    coming: Mutex<Option<oneshot::Receiver<Said>>>,
    said: Mutex<Option<Said>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answer {
    /// What `future` comes to on the thread that `thread` belongs to.
    pub fn of(thread: &Handle, future: impl Future<Output = Said> + Send + 'static) -> Self {
        let (sender, receiver) = oneshot::channel();
        thread.spawn(async move {
            // A client that is gone needs no answer.
            let _ = sender.send(future.await);
        });
        Answer { coming: Mutex::new(Some(receiver)), said: Mutex::new(None) }
    }

    /// Until it is there.
    pub(crate) async fn came(&self) {
        let coming = locked(&self.coming).take();
        let Some(coming) = coming else { return };
        let said = coming.await.unwrap_or(Err(NOBODY));
        *locked(&self.said) = Some(said);
    }

    /// Takes it. `None`: it has not come.
    pub fn take(&self) -> Option<Result<Word, ReplyError>> {
        locked(&self.said).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
    }

    #[test]
    fn an_answer_comes_once() {
        runtime().block_on(async {
            let answer = Answer::of(&Handle::current(), async { Ok(Word::Int(7)) });
            assert_eq!(answer.take(), None);
            answer.came().await;
            assert_eq!(answer.take(), Some(Ok(Word::Int(7))));
            assert_eq!(answer.take(), None);
        });
    }

    #[test]
    fn nobody_waits_for_a_thread_that_is_gone() {
        let elsewhere = runtime();
        let answer = Answer::of(elsewhere.handle(), std::future::pending());
        drop(elsewhere);
        runtime().block_on(answer.came());
        assert_eq!(answer.take(), Some(Err(NOBODY)));
    }
}
