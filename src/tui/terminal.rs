//! The terminal's state, and the signals that concern it.
//!
//! Owns that the terminal is given back as it was found: at the end, after a
//! panic, on a signal, while stopped. Draws nothing itself.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Instant;

use crossterm::cursor;
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use nix::sys::termios::{self, SetArg};
use nix::unistd::Pid;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use signal_hook::SigId;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};

/// The terminal is ours: raw, alternate screen, mouse. A panic hook has no
/// other way to know, and there is one terminal per process.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back, if it is ours. Errors are of no use here: there is
/// nothing else to do about a terminal that does not answer.
fn restore() {
    if ACTIVE.swap(false, Ordering::SeqCst) {
        let _ = execute!(
            io::stdout(),
            EndSynchronizedUpdate,
            DisableMouseCapture,
            LeaveAlternateScreen,
            cursor::Show
        );
        let _ = disable_raw_mode();
    }
}

fn acquire() -> io::Result<()> {
    enable_raw_mode()?;
    ACTIVE.store(true, Ordering::SeqCst);
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        EnableMouseCapture,
        cursor::Hide,
        Clear(ClearType::All)
    )
}

/// A panic message belongs on the ordinary screen, where it stays.
fn restore_before_panic_messages() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            next(panic);
        }));
    });
}

type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// A full repaint of a large screen, so that a frame is one write.
const OUTPUT: usize = 64 * 1024;

fn blank() -> io::Result<ratatui::Terminal<Backend>> {
    let output = BufWriter::with_capacity(OUTPUT, io::stdout());
    ratatui::Terminal::new(CrosstermBackend::new(output))
}

/// What waiting for input came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The time was over, or a signal came.
    None,
    /// There is something to read.
    Ready,
    /// Nobody is at the other end any more.
    Gone,
}

/// Makes standard input the terminal, opened anew so that reading never waits.
///
/// Crossterm reads on until a key is complete, and a key such as Alt-[ is the
/// beginning of others: the screen and even SIGTERM would wait for whatever is
/// typed next. The flag must not be set on what the shell gave us, which it,
/// and our own output, share.
fn open_input() -> io::Result<()> {
    let open = |path| {
        OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
            .open(path)
            .and_then(|tty| Ok(nix::unistd::dup2_stdin(tty)?))
    };
    if !io::stdin().is_terminal() {
        return open("/dev/tty");
    }
    // One that cannot be opened again can still be read as it is.
    let _ = open("/proc/self/fd/0").or_else(|_| open("/dev/tty"));
    Ok(())
}

/// The terminal while it is ours; given back when dropped.
pub struct Terminal {
    screen: ratatui::Terminal<Backend>,
}

impl Terminal {
    /// Takes the terminal.
    pub fn enter() -> io::Result<Terminal> {
        open_input()?;
        restore_before_panic_messages();
        let entered = acquire().and_then(|()| blank());
        match entered {
            Ok(screen) => Ok(Terminal { screen }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// False once something, such as a panic elsewhere, gave the terminal back.
    pub fn is_active(&self) -> bool {
        ACTIVE.load(Ordering::SeqCst)
    }

    /// Takes the terminal again, and forgets what is on it.
    pub fn reenter(&mut self) -> io::Result<()> {
        // Where a shell changed the settings while the process was stopped,
        // crossterm would believe them to be raw still.
        let _ = disable_raw_mode();
        acquire()?;
        self.screen = blank()?;
        Ok(())
    }

    /// Draws a frame and shows what changed, all at once where the terminal
    /// knows how.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        crossterm::queue!(self.screen.backend_mut(), BeginSynchronizedUpdate)?;
        self.screen.draw(|frame| draw(frame.buffer_mut()))?;
        execute!(self.screen.backend_mut(), EndSynchronizedUpdate)?;
        self.screen.backend_mut().flush()
    }

    /// Waits for input until `deadline`. A terminal that is gone is told apart
    /// here, since crossterm would read its end again and again.
    pub fn wait(&self, deadline: Instant) -> Input {
        let stdin = io::stdin();
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: a wait of 0 would spin through the last millisecond.
        let ms = left.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, timeout) {
            Ok(0) | Err(Errno::EINTR | Errno::EAGAIN) => return Input::None,
            Ok(_) => {}
            Err(_) => return Input::Gone,
        }
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        match fds[0].revents() {
            Some(events) if events.intersects(gone) => Input::Gone,
            Some(events) if events.contains(PollFlags::POLLIN) => Input::Ready,
            _ => Input::None,
        }
    }

    /// Makes the terminal say once more that there is input. When a key and a
    /// new size come at once, crossterm takes the size and forgets the key,
    /// which it is told of only once. The kernel wakes all readers when the
    /// settings are set, be they the same.
    pub fn announce_input(&self) {
        let stdin = io::stdin();
        if let Ok(settings) = termios::tcgetattr(&stdin) {
            let _ = termios::tcsetattr(&stdin, SetArg::TCSANOW, &settings);
        }
    }

    /// Gives the terminal back and stops the process, as Ctrl-Z asks for;
    /// returns when it is continued, with the terminal still given back.
    ///
    /// A session leader has no shell that could continue it, and goes on.
    pub fn suspend(&mut self, signals: &Signals) -> io::Result<()> {
        if nix::unistd::getsid(None) == Ok(nix::unistd::getpid()) {
            return Ok(());
        }
        restore();
        // What started netmon, such as make or sudo, is part of the same job
        // and must stop with it.
        nix::sys::signal::kill(Pid::from_raw(0), Signal::SIGTSTP)?;
        signal_hook::low_level::emulate_default_handler(SIGTSTP)?;
        signals.stop.store(false, Ordering::SeqCst);
        signals.cont.store(true, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Flags that signal handlers set.
pub struct Signals {
    quit: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    cont: Arc<AtomicBool>,
    resize: Arc<AtomicBool>,
    /// Nobody looks at the flags any more.
    over: Arc<AtomicBool>,
    handlers: Vec<SigId>,
}

impl Signals {
    /// Handles the signals from now on.
    pub fn watch() -> io::Result<Signals> {
        let mut signals = Signals {
            quit: Arc::default(),
            stop: Arc::default(),
            cont: Arc::default(),
            resize: Arc::default(),
            over: Arc::default(),
            handlers: Vec::new(),
        };
        // Handlers cannot be taken away, only emptied; without these a signal
        // that comes while the program ends would do nothing.
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&signals.over))?;
        }
        for (signal, flag) in [
            (SIGTERM, &signals.quit),
            (SIGINT, &signals.quit),
            (SIGHUP, &signals.quit),
            (SIGTSTP, &signals.stop),
            (SIGCONT, &signals.cont),
            (SIGWINCH, &signals.resize),
        ] {
            let handler = signal_hook::flag::register(signal, Arc::clone(flag))?;
            signals.handlers.push(handler);
        }
        Ok(signals)
    }

    /// Somebody asked for the end.
    pub fn quit(&self) -> bool {
        self.quit.load(Ordering::Relaxed)
    }

    /// Somebody asked to stop until continued; true once per request.
    pub fn stop_asked(&self) -> bool {
        take(&self.stop)
    }

    /// Asks to stop, as if by signal.
    pub fn ask_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// The process was stopped and is continued; true once each time.
    pub fn continued(&self) -> bool {
        take(&self.cont)
    }

    /// The terminal's size changed; true once each time.
    pub fn resized(&self) -> bool {
        take(&self.resize)
    }
}

/// A plain load as long as there is nothing to take.
fn take(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::SeqCst)
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}
