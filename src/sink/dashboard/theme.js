// Applies the remembered theme before the first paint. Owns the attribute; the
// button that changes it is in prefs.js. A classic script, since modules come late.
'use strict';
try {
  const theme = localStorage.getItem('netmon-theme');
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme stays.
}
