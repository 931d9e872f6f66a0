//! Answers as comma-separated values (RFC 4180) below a header line.

use std::fmt::Display;
use std::io::{self, Write};

use crate::model::interface::Class;
use crate::sink::history::answer::{Alerts, Interfaces, Protocols, Remotes, Timeline, Top};
use crate::sink::stream::quoted;

/// Who moved most; of processes with all that is known of them.
pub fn top(to: &mut dyn Write, top: &Top) -> io::Result<()> {
    let processes = top.by == "process";
    match processes {
        true => writeln!(
            to,
            "process,executable,user,unit,container,tx_bytes,rx_bytes,percentage"
        )?,
        false => writeln!(to, "{},tx_bytes,rx_bytes,percentage", top.by)?,
    }
    for row in &top.rows {
        write!(to, "{},", quoted(&row.key))?;
        if processes {
            let who = row.who.as_ref();
            let text = |text: Option<&String>| quoted(text.map_or("", String::as_str));
            write!(
                to,
                "{},{},{},{},",
                text(who.and_then(|who| who.executable.as_ref())),
                text(who.map(|who| &who.user)),
                text(who.and_then(|who| who.unit.as_ref())),
                text(who.and_then(|who| who.container.as_ref())),
            )?;
        }
        let moved = row.moved;
        writeln!(
            to,
            "{},{},{}",
            moved.tx_bytes, moved.rx_bytes, row.percentage
        )?;
    }
    Ok(())
}

/// How much moved when: a row per point, or per point and key.
pub fn timeline(to: &mut dyn Write, timeline: &Timeline) -> io::Result<()> {
    let Some(series) = &timeline.series else {
        writeln!(to, "time,tx_bytes,rx_bytes")?;
        for point in &timeline.points {
            let moved = point.moved;
            writeln!(to, "{},{},{}", point.t, moved.tx_bytes, moved.rx_bytes)?;
        }
        return Ok(());
    };
    writeln!(to, "time,key,tx_bytes,rx_bytes")?;
    for (at, point) in timeline.points.iter().enumerate() {
        for one in series {
            let of = |line: &[u64]| line.get(at).copied().unwrap_or_default();
            let (tx, rx) = (of(&one.tx_bytes), of(&one.rx_bytes));
            writeln!(to, "{},{},{tx},{rx}", point.t, quoted(&one.key))?;
        }
    }
    Ok(())
}

/// Bytes by protocol.
pub fn protocols(to: &mut dyn Write, answer: &Protocols) -> io::Result<()> {
    writeln!(to, "protocol,tx_bytes,rx_bytes,percentage")?;
    for row in &answer.protocols {
        let (tx, rx) = (row.moved.tx_bytes, row.moved.rx_bytes);
        writeln!(to, "{},{tx},{rx},{}", quoted(&row.protocol), row.percentage)?;
    }
    Ok(())
}

/// Bytes by remote address.
pub fn remotes(to: &mut dyn Write, answer: &Remotes) -> io::Result<()> {
    writeln!(to, "remote_address,tx_bytes,rx_bytes,percentage")?;
    for row in &answer.remotes {
        let (tx, rx) = (row.moved.tx_bytes, row.moved.rx_bytes);
        let address = quoted(row.remote_address.as_deref().unwrap_or_default());
        writeln!(to, "{address},{tx},{rx},{}", row.percentage)?;
    }
    Ok(())
}

/// What interfaces moved; the bytes of a class are empty where nobody told them apart.
pub fn interfaces(to: &mut dyn Write, answer: &Interfaces) -> io::Result<()> {
    write!(
        to,
        "interface,tx_bytes,rx_bytes,tx_packets,rx_packets,average_rate,peak_rate"
    )?;
    for class in Class::ALL {
        write!(to, ",{}_bytes", class.name())?;
    }
    writeln!(to)?;
    for row in &answer.interfaces {
        let moved = row.moved;
        write!(
            to,
            "{},{},{},{},{},{},{}",
            quoted(&row.interface),
            moved.tx_bytes,
            moved.rx_bytes,
            moved.tx_packets,
            moved.rx_packets,
            row.average_rate,
            row.peak_rate,
        )?;
        for class in Class::ALL {
            let bytes = row.classes.as_ref().map(|classes| {
                let found = classes.iter().find(|one| one.class == class.name());
                found.map_or(0, |one| one.moved.bytes())
            });
            write!(to, ",{}", text(bytes.as_ref()))?;
        }
        writeln!(to)?;
    }
    Ok(())
}

/// Flows that were above the threshold.
pub fn alerts(to: &mut dyn Write, answer: &Alerts) -> io::Result<()> {
    writeln!(
        to,
        "kind,started,ended,pid,name,user,protocol,remote_address,remote_port,peak,threshold"
    )?;
    for alert in &answer.alerts {
        writeln!(
            to,
            "{},{},{},{},{},{},{},{},{},{},{}",
            quoted(&alert.kind),
            alert.started,
            text(alert.ended.as_ref()),
            alert.pid,
            quoted(&alert.name),
            quoted(&alert.user),
            quoted(&alert.protocol),
            quoted(alert.remote_address.as_deref().unwrap_or_default()),
            text(alert.remote_port.as_ref()),
            alert.peak,
            alert.threshold,
        )?;
    }
    Ok(())
}

/// Empty for what is not known.
fn text(value: Option<&impl Display>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}
