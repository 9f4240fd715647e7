/** Says what helps against a join that was refused, by the words that it was refused with. */

interface Remedy {
  readonly of: RegExp
  readonly text: string
}

const TABLE: readonly Remedy[] = [
  { of: /Please check Realtime is enabled/, text: "No published table has this name: check its spelling and capitals, then run `tidewire publish TABLE`." },
  { of: /Error parsing `filter`/, text: "Write the filter as column=operator.value, such as status=eq.open." },
  { of: /invalid column for/, text: "Name a column of the table that the role may read." },
  { of: /`moves` needs the old rows/, text: "Set REPLICA IDENTITY FULL on the table, or listen without moves." },
  { of: /\b(22P02|22003|22007|22008)\b/, text: "Give the filter a value of its column's type." },
  { of: /\b42883\b/, text: "Choose an operator that the column's type has." },
]
const TOPIC: readonly Remedy[] = [
  { of: /^PrivateOnly|only allows private/i, text: "Only private channels may be joined on this server: tick that it is one." },
]
const BOTH: readonly Remedy[] = [
  { of: /role .* does not exist/, text: "Name a role of the database." },
  { of: /RateLimitReached|^Too many/, text: "A limit of the server was reached: close what is not needed, or raise it." },
  { of: /JWT|[Tt]oken/, text: "The server takes no such token: look at its settings for tokens." },
]

export function tableRemedy(reason: string): string {
  return remedyOf([...TABLE, ...BOTH], reason) ?? "The reference of row changes has a remedy for every refusal."
}

export function topicRemedy(reason: string, role: string, { isPrivate }: { readonly isPrivate: boolean }): string {
  if (isPrivate && /do not have permissions|no longer have permission/.test(reason)) {
    return `A private channel needs a policy for SELECT on realtime.messages that is true for ${role} and this topic.`
  }
  const otherwise = isPrivate ? "Look at the policies of realtime.messages." : "Join it as a private channel if it is one, or as a role that may."
  return remedyOf([...TOPIC, ...BOTH], reason) ?? otherwise
}

const remedyOf = (remedies: readonly Remedy[], reason: string): string | undefined => remedies.find(({ of }) => of.test(reason))?.text
