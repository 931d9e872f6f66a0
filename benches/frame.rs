//! The renderer: a frame in which everything changed, a tick in which nothing
//! did, and the view behind both.
//!
//! Why this is hot: the screen looks for changes a hundred times a second and
//! must answer a key within one tick of 10 ms, also while ten thousand flows
//! change twice a second; and a monitor that keeps the machine busy measures
//! itself. `direct` and `empty` are the references on the same machine in the
//! same run: as many plain cells written straight into a buffer, and none.

#[path = "../tests/support/fixture.rs"]
mod fixture;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use netmon::feed::Feed;
use netmon::model::filter::Filter;
use netmon::tui::Options;
use netmon::tui::history::History;
use netmon::tui::keys::Action;
use netmon::tui::screen::Screen;
use netmon::tui::state::State;
use netmon::tui::view::View;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

const WIDTH: u16 = 200;
const HEIGHT: u16 = 50;
const FLOWS: usize = 10_240;
const INTERVAL: Duration = Duration::from_millis(500);

fn terminal() -> Terminal<TestBackend> {
    Terminal::new(TestBackend::new(WIDTH, HEIGHT)).expect("a terminal in memory")
}

fn screen() -> Screen {
    let options = Options {
        color: true,
        ..Options::default()
    };
    let mut screen = Screen::new(options, INTERVAL);
    screen.act(Action::TurnPage);
    screen
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    let mut memory = terminal();

    group.bench_function("empty", |b| {
        b.iter(|| memory.draw(|_| {}).map(|_| ()));
    });

    // Two screens of different snapshots in turn: the same as a snapshot that
    // changed every row, without the cost of taking it in.
    let mut screens = [1, 2].map(|sequence| {
        let mut screen = screen();
        screen.take(Arc::new(fixture::many(sequence, FLOWS)));
        screen
    });
    memory
        .draw(|frame| screens[0].draw(frame.buffer_mut()))
        .expect("a terminal in memory");
    let cells = memory.backend().buffer().content.iter();
    let written = cells.filter(|cell| cell.symbol() != " ").count();

    // As many cells as that frame writes, without any style; two contents in
    // turn, so that every one of them differs from the frame before.
    let mut turn = 0;
    group.bench_function("direct", |b| {
        b.iter(|| {
            turn = 1 - turn;
            memory
                .draw(|frame| {
                    let cells = &mut frame.buffer_mut().content[..written];
                    for (at, cell) in cells.iter_mut().enumerate() {
                        let digit = (at + turn) % 10;
                        cell.set_symbol(&"0123456789"[digit..=digit]);
                    }
                })
                .map(|_| ())
        });
    });

    group.bench_function("dirty", |b| {
        b.iter(|| {
            turn = 1 - turn;
            memory
                .draw(|frame| screens[turn].draw(frame.buffer_mut()))
                .map(|_| ())
        });
    });
    group.finish();
}

fn ticks(c: &mut Criterion) {
    let feed = Feed::new(INTERVAL);
    feed.publish(Arc::new(fixture::many(1, FLOWS)));
    let mut screen = screen();
    assert!(screen.tick(&feed).is_none());
    terminal()
        .draw(|frame| screen.draw(frame.buffer_mut()))
        .expect("a terminal in memory");
    c.bench_function("tick/clean", |b| {
        b.iter(|| {
            let ended = screen.tick(black_box(&feed));
            assert!(ended.is_none() && !screen.is_dirty());
        });
    });
}

fn views(c: &mut Criterion) {
    let mut group = c.benchmark_group("view");
    let snapshots = [1, 2].map(|sequence| Arc::new(fixture::many(sequence, FLOWS)));
    let mut state = State::new(INTERVAL, String::new());
    state.turn_page();
    let mut turn = 0;

    let text = Filter {
        text: "93.184.".to_string(),
        ..Filter::default()
    };
    for (name, filter) in [("rebuild", Filter::default()), ("rebuild_filtered", text)] {
        let mut view = View::new(Arc::clone(&snapshots[0]), &filter, &state);
        group.bench_function(name, |b| {
            b.iter(|| {
                turn = 1 - turn;
                view.rebuild(Arc::clone(&snapshots[turn]), &filter, &state);
                black_box(view.rows.len())
            });
        });
    }

    let mut history = History::default();
    for sequence in 1..=3 {
        history.add(&fixture::many(sequence, FLOWS));
    }
    let next = fixture::many(4, FLOWS);
    group.bench_function("history", |b| {
        b.iter_batched_ref(
            || history.clone(),
            |history| history.add(&next),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, frames, ticks, views);
criterion_main!(benches);
