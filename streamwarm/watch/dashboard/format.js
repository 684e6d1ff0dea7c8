"use strict";
// Formats values for users. Pure: nothing here touches the page.

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Bytes with three significant digits and decimal units: 1000 bytes are 1 kB, as everywhere in streamwarm. */
function formatBytes(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let unit = 0;
  let value = bytes;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

function formatRate(bytesPerS) {
  return `${formatBytes(bytesPerS)}/s`;
}

function formatCount(count) {
  return (count ?? 0).toLocaleString("en");
}

/** A duration in its two largest units; below one second in milliseconds. */
function formatSeconds(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number.isInteger(seconds) ? seconds : seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** The rest of a wait as a countdown: 0:09, 4:30, 1:02:03. */
function formatCountdown(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(left / 3600);
  const minutes = Math.floor((left % 3600) / 60);
  return hours ? `${hours}:${two(minutes)}:${two(left % 60)}` : `${minutes}:${two(left % 60)}`;
}

/** A time of day on this computer's clock face, with the date unless it is today. */
function formatAt(text) {
  const at = new Date(text);
  const isToday = at.toDateString() === new Date().toDateString();
  return at.toLocaleString("en-GB", isToday ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "medium" });
}

function formatAgo(seconds) {
  if (seconds < 5) return "now";
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  const days = Math.round(seconds / 86400);
  return days === 1 ? "1 day ago" : `${days} days ago`;
}

// Characters that are invisible or change how others look: control and format characters, fillers, every space but
// the plain one, and direction marks. A key may contain them, and must not look like another key.
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/gu;

/** `text` with invisible characters written out, as \u{202e}. */
function visible(text) {
  return String(text).replace(UNSEEN, (found) => `\\u{${found.codePointAt(0).toString(16)}}`);
}

/** A key's folder and its file name. Each is shortened on its own if there is no room. */
function splitKey(key) {
  const cut = key.lastIndexOf("/", key.length - 2) + 1;
  return [visible(key.slice(0, cut)), visible(key.slice(cut))];
}
