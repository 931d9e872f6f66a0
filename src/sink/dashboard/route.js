// What the address after `#` says is open: nothing, a process, a remote, or an interface.
// Owns the words of the address; opens nothing.

/** Address of a process; with `pid` of that one only. */
export function processHash(name, pid) {
  const words = new URLSearchParams({ process: name });
  if (pid) words.set('pid', pid);
  return `#${words}`;
}

/** Address of a remote. */
export const remoteHash = (address) => `#${new URLSearchParams({ remote: address })}`;

/** Address of an interface. */
export const interfaceHash = (name) => `#${new URLSearchParams({ iface: name })}`;

/** `{kind: 'process', name, pid}`, `{kind: 'remote', address}`, `{kind: 'iface', name}`,
    or `null`. */
export function current() {
  const words = new URLSearchParams(location.hash.slice(1));
  if (words.get('process')) {
    const pid = Number(words.get('pid'));
    return { kind: 'process', name: words.get('process'), pid: Number.isInteger(pid) && pid > 0 ? pid : null };
  }
  if (words.get('remote')) return { kind: 'remote', address: words.get('remote') };
  if (words.get('iface')) return { kind: 'iface', name: words.get('iface') };
  return null;
}
