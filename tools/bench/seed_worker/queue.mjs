// Jobs in memory, best score first: the table of the worker that is replaced. What is here is lost with the process.
export const MAX_QUEUE = 500

export class Queue {
  constructor () { this.jobs = []; this.isSorted = true }

  get isFull () { return this.jobs.length >= MAX_QUEUE }

  add (job) {
    this.jobs.push({ ...job, score: score(job) })
    this.isSorted = false
  }

  take () {
    if (!this.isSorted) {
      this.jobs.sort((a, b) => a.score - b.score || b.number - a.number) // the best is last: pop is cheap
      this.isSorted = true
    }
    return this.jobs.pop()
  }
}

function score (job) {
  let points = 100
  if (job.bytes < 100e3) points += 50
  else if (job.bytes < 1e6) points += 30
  else if (job.bytes < 5e6) points += 10
  else if (job.bytes > 20e6) points -= 20
  return points + ({ photo: 20, video: -10 }[job.kind] ?? 0)
}
