#!/usr/bin/env bash
# A legacy helpdesk to try with: three tickets, a login that reads, a login that writes insights.
set -euo pipefail
reader=$(cat /run/secrets/legacy_password)
writer=$(cat /run/secrets/primary_password)
mariadb -u root -p"$(cat /run/secrets/legacy_root_password)" helpdesk <<SQL
CREATE TABLE ticket (
  ticket_id INT NOT NULL PRIMARY KEY,
  customer_name VARCHAR(80) NOT NULL,
  customer_email VARCHAR(120) NOT NULL,
  subject VARCHAR(200) NOT NULL,
  body TEXT NOT NULL,
  updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  INDEX ticket_updated (updated_at, ticket_id)
) CHARACTER SET utf8mb4;
INSERT INTO ticket (ticket_id, customer_name, customer_email, subject, body) VALUES
  (1, 'Anna Example', 'anna@example.com', 'Paper jam', 'There is a paper jam in the printer on the second floor and I cannot get it out.'),
  (2, 'Ben Example', 'ben@example.com', 'VPN', 'The VPN asks for a code again and again. This is urgent, I am at a customer.'),
  (3, 'Cleo Example', 'cleo@example.com', 'Password', 'My password has expired and the reset link does not arrive.');
CREATE USER 'insights_reader'@'%' IDENTIFIED BY '$reader' WITH MAX_USER_CONNECTIONS 4;
GRANT SELECT ON ticket TO 'insights_reader'@'%';
CREATE USER 'insights_writer'@'%' IDENTIFIED BY '$writer' WITH MAX_USER_CONNECTIONS 4;
SQL
