/**
 * Comma-separated values as RFC 4180 says, read as a stream: quotes around whatever holds delimiters, line ends or quotes
 * (doubled inside), lines that end in CRLF, LF or CR, a byte order mark left out. Memory holds one piece of the file.
 */
import { createReadStream } from "node:fs";

/** One record of a file. */
export interface CsvRow {
  /** Where it begins, from 1. */
  line: number;
  fields: string[];
}

/** How fields are told apart. */
export interface CsvSyntax {
  delimiter: string;
  /** Empty: quotes mean nothing. */
  quote: string;
}

/** Takes text in pieces of any length, gives records. */
export class CsvParser {
  private line = 1;
  private start = 1;
  private fields: string[] = [];
  private field = "";
  /** In front of a field, in one, in a quoted one, or behind a quote that may have ended it. */
  private state: "start" | "plain" | "quoted" | "closed" = "start";
  private afterCR = false;
  private quoteLine = 1;

  constructor(
    private readonly file: string,
    private readonly syntax: CsvSyntax,
  ) {}

  /** The records that end in this piece. */
  push(text: string): CsvRow[] {
    const { delimiter, quote } = this.syntax;
    const rows: CsvRow[] = [];
    for (let i = 0; i < text.length; i++) {
      const c = text[i]!;
      if (this.afterCR) {
        this.afterCR = false;
        if (c === "\n") {
          if (this.state === "quoted") this.field += c;
          continue;
        }
      }
      if (this.state === "quoted") {
        if (c === quote) this.state = "closed";
        else {
          this.field += c;
          this.afterCR = c === "\r";
          if (c === "\n" || c === "\r") this.line++;
        }
      } else if (c === delimiter) this.endField();
      else if (c === "\n" || c === "\r") {
        this.afterCR = c === "\r";
        this.endRow(rows);
        this.start = ++this.line;
      } else if (this.state === "closed") {
        if (c !== quote)
          throw new Error(
            `csvDataset: expected a delimiter or the end of the line behind a closing quote in ${this.place(this.line)}, got ${JSON.stringify(c)}`,
          );
        this.field += c;
        this.state = "quoted";
      } else if (this.state === "start" && c === quote) {
        this.state = "quoted";
        this.quoteLine = this.line;
      } else {
        this.state = "plain";
        this.field += c;
      }
    }
    return rows;
  }

  /** The last record, of a file that does not end with a line end. */
  end(): CsvRow[] {
    if (this.state === "quoted")
      throw new Error(
        `csvDataset: expected a closing quote for the one in ${this.place(this.quoteLine)}, got the end of the file`,
      );
    const rows: CsvRow[] = [];
    this.endRow(rows);
    return rows;
  }

  private place(line: number): string {
    return `${this.file}, line ${line}, column ${this.fields.length + 1}`;
  }

  private endField(): void {
    this.fields.push(this.field);
    this.field = "";
    this.state = "start";
  }

  /** Lines with nothing on them are no records. */
  private endRow(rows: CsvRow[]): void {
    if (this.fields.length === 0 && this.state === "start") return;
    this.endField();
    rows.push({ line: this.start, fields: this.fields });
    this.fields = [];
  }
}

/** The records of a file, as many at a time as one piece of it holds. */
export async function* csvRows(file: string, syntax: CsvSyntax): AsyncGenerator<CsvRow[], void, void> {
  const parser = new CsvParser(file, syntax);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (bytes?: Uint8Array): string => {
    try {
      return bytes ? decoder.decode(bytes, { stream: true }) : decoder.decode();
    } catch {
      throw new Error(`csvDataset: expected text in UTF-8 in ${file}, got other bytes`);
    }
  };
  for await (const bytes of createReadStream(file)) yield parser.push(decode(bytes as Uint8Array));
  yield [...parser.push(decode()), ...parser.end()];
}
